"""Ranks that are threads of one process: what has to hold for any ranks can be tried without MPI."""

import threading

from npcnn.functional.batch_parts import Cut, in_tree


class ThreadRanks:
    """One of several; all wait for one another wherever they exchange something."""

    def __init__(self, number, count, meeting, table):
        self.number, self.count = number, count
        self._meeting, self._table = meeting, table

    def gather(self, value):
        self._table[self.number] = value
        self._meeting.wait()
        values = list(self._table)
        self._meeting.wait()
        return values

    def combined(self, array, combine):
        # Each from its own side, as ranks do that exchange with one partner after the other.
        values = self.gather(array)
        return in_tree([values[self.number ^ k] for k in range(self.count)], combine)

    def begin(self, arrays):
        for array in arrays:
            array[...] = self.combined(array.copy(), lambda left, right: left + right)

    def complete(self):
        pass

    def share(self, value):
        return self.gather(value)[0]

    def share_arrays(self, arrays):
        for array in arrays:
            array[...] = self.share(array.copy())


def in_threads(count, parts, function):
    """Return what ``function(cut)`` returns, or raises, in each of so many ranks."""
    meeting, table, results = threading.Barrier(count, timeout=60), [None] * count, [None] * count

    def run(number):
        try:
            results[number] = function(Cut(parts, ThreadRanks(number, count, meeting, table)))
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
