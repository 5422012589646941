-- Answers how many databases for flushes are free.

return #freeSlots(entries())
