package policy

import (
	"slices"
	"strconv"
)

// otherDatabase maps the commands by which code leaves its database to the places of the arguments
// that are database numbers; COPY has one behind the word DB.
var otherDatabase = map[string][]int{
	"select": {1}, "swapdb": {1, 2}, "move": {2}, "copy": nil, "migrate": {4},
}

// LeavingDatabase lists the commands by which code can reach another database than its own.
func LeavingDatabase() []string { return []string{"select", "swapdb", "move", "copy", "migrate"} }

// LeavesDatabase reports whether the code calls one of them by a literal name.
func (s *Script) LeavesDatabase() bool {
	return slices.ContainsFunc(LeavingDatabase(), s.calls)
}

// Reaches reports whether the code that a request runs or loads may come to one of the databases by
// a known call, and names the call. An unknown number may be any database; loaded code has its
// arguments only when it runs. Reaches does not cover the unknown calls of opaque code.
func (p *Policy) Reaches(req *Request, databases []int) (call string, may bool) {
	if req.Script == nil {
		return "", false
	}
	for i := range req.Script.Calls {
		c := bind(req, &req.Script.Calls[i])
		cmd := p.table.Lookup(c.req.Args)
		if places, leaves := otherDatabase[cmd.Name]; leaves && c.reaches(cmd, places, databases) {
			return cmd.Name, true
		}
	}
	return "", false
}

func (c *boundCall) reaches(cmd *Command, places, databases []int) bool {
	if c.open {
		return !c.loaded
	}
	if cmd.Name == "copy" {
		for i := 3; i < len(c.known); i++ {
			switch {
			case !c.known[i]:
				return !c.loaded
			case isWord(c.req.Args[i], "db"):
				i++
				places = append(places, i)
			}
		}
	}
	for _, at := range places {
		switch {
		case at >= len(c.known): // the server refuses it
		case !c.known[at]:
			if !c.loaded {
				return true
			}
		default:
			n, err := strconv.Atoi(string(c.req.Args[at]))
			if err == nil && slices.Contains(databases, n) {
				return true
			}
		}
	}
	return false
}
