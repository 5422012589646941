package trash

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/resp"
)

// Client is the proxy's part of an entry: the origin of a command.
type Client struct {
	User, Addr, Name string
	Command          string // as it is shown to operators
	Rule             string
	Mark             string // under which the script stores the entry's id (Keeper.IDs); "": it does not
}

// meta gives the scripts a Client.
func (c *Client) meta() string {
	text, err := json.Marshal(entry{User: c.User, Addr: c.Addr, Name: c.Name, Command: c.Command,
		Rule: c.Rule, Mark: c.Mark})
	if err != nil {
		return "{}" // strings and numbers: it cannot fail
	}
	return string(text)
}

// entry is an entry of the ledger, as the scripts write and read it.
type entry struct {
	ID      uint64     `json:"id,omitempty"` // 0: keys outside of all entries
	At      int64      `json:"at,omitempty"` // Unix time, ms
	Until   int64      `json:"until,omitempty"`
	User    string     `json:"user,omitempty"`
	Addr    string     `json:"addr,omitempty"`
	Name    string     `json:"name,omitempty"`
	Command string     `json:"command,omitempty"`
	Rule    string     `json:"rule,omitempty"`
	Mark    string     `json:"mark,omitempty"` // see ledger.lua; not kept
	DBs     []database `json:"dbs,omitempty"`
	Merge   *struct{}  `json:"merge,omitempty"`
}

// database is one database moved aside.
type database struct {
	DB   int   `json:"db"`
	Slot int   `json:"slot"`
	Keys int64 `json:"keys"`
}

func describeEntries(lists ...[]entry) (out []admin.TrashEntry) {
	for _, e := range slices.Concat(lists...) {
		out = append(out, e.describe())
	}
	return out
}

// listed parses one of the lists in the script's reply.
func listed(v *resp.Value, i int) ([]entry, error) {
	if len(v.Elems) != 4 {
		return nil, errors.New("the script answered something else")
	}
	out := make([]entry, 0, len(v.Elems[i].Elems))
	for _, text := range v.Elems[i].Elems {
		var e entry
		if err := json.Unmarshal(text.Str, &e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (e *entry) describe() admin.TrashEntry {
	a := admin.TrashEntry{ID: e.ID, User: e.User, Addr: e.Addr, Name: e.Name, Command: e.Command,
		Rule: e.Rule, Merging: e.Merge != nil}
	if e.ID != 0 {
		a.At, a.Until = time.UnixMilli(e.At), time.UnixMilli(e.Until)
	}
	for _, d := range e.DBs {
		a.Keys += d.Keys
		a.Databases = append(a.Databases, d.DB)
	}
	return a
}
