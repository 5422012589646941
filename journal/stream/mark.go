package stream

// The keys that proxies write for themselves: the journal's mark (journal/tap) and the fences' key
// (package proxy). They are no client's data.
const (
	MarkKey  = "holdfast:mark"
	FenceKey = "holdfast:fence"
	// RepairKey is set first and deleted last in each transaction of a repair (journal/repair), so
	// that a reader of the stream recognizes it. No client ever sees it.
	RepairKey = "holdfast:repair"
)

// IsOwn reports whether a key is one that proxies write for themselves.
func IsOwn(name string) bool { return name == MarkKey || name == FenceKey || name == RepairKey }

// IsMark reports whether a command writes one of a proxy's own keys.
func (c *Command) IsMark() bool {
	if !c.Is("SET") || len(c.Args) < 3 {
		return false
	}
	key := string(c.Args[1])
	return key == MarkKey || key == FenceKey
}

// Traceless reports whether a command leaves no trace in the data of clients: the servers' own
// traffic, messages, and the keys that proxies write for themselves.
func (c *Command) Traceless() bool {
	if len(c.Args) == 0 {
		return true
	}
	for _, name := range traceless {
		if c.Is(name) {
			return true
		}
	}
	return c.IsMark()
}

var traceless = [...]string{"PING", "REPLCONF", "SELECT", "MULTI", "EXEC", "PUBLISH", "SPUBLISH"}
