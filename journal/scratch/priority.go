package scratch

// niceness is the scheduling priority of the work with scratch servers. The server that clients use, and
// the proxy before it, may be on the same machine: they get the processor first.
const niceness = 10

// GiveWay lowers the priority of this process for the rest of its life, as it is with scratch servers:
// the work with them can wait for clients.
func GiveWay() { lower(0) }
