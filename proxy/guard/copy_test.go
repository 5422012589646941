package guard

import (
	"errors"
	"testing"
)

// A user of whom the server says more than this version understands is not copied.
func TestACLUserOfUnknownKind(t *testing.T) {
	known := func() []any {
		return []any{"flags", []any{"on", "nopass"}, "passwords", []any{}, "commands", "+@all",
			"keys", "~*", "channels", "&*", "databases", "alldbs",
			"selectors", []any{[]any{"commands", "-@all +get", "keys", "~a", "channels", ""}}}
	}
	if u, err := parseACLUser(known()); err != nil || !u.on || !u.nopass || len(u.selectors) != 1 ||
		u.root.databases != "alldbs" || u.selectors[0].commands != "-@all +get" {
		t.Fatalf("%+v (%v)", u, err)
	}
	for name, reply := range map[string]any{
		"a field":               append(known(), "networks", "10.0.0.0/8"),
		"a flag":                append([]any{"flags", []any{"on", "readonly"}}, known()[2:]...),
		"a field of a selector": append(known()[:12], "selectors", []any{[]any{"rate", "5"}}),
		"no text":               append(known()[:4], "commands", []any{"+@all"}),
		"an odd list":           known()[:3],
		"no name":               append(known(), int64(1), "x"),
		"nothing":               nil,
	} {
		if _, err := parseACLUser(reply); !errors.Is(err, errNoCopy) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The comparison of a copy with what it was made of finds every kind of right.
func TestACLUserWithin(t *testing.T) {
	user := func() *aclUser {
		return &aclUser{on: true, root: aclPart{commands: "+@all -get +config|get", keys: "~a ~b",
			channels: "&c", databases: "db=0", hasDatabases: true},
			selectors: []aclPart{{commands: "-@all +get", keys: "~z"}}}
	}
	less := user()
	less.root.commands = "+@all -get +config|get -flushall -select +select|0"
	if !user().within(less, []string{"+select|0"}) || user().equal(less) {
		t.Error("a copy with fewer rights was not taken for one")
	}
	for name, change := range map[string]func(c *aclUser){
		"a command":    func(c *aclUser) { c.root.commands += " +get" },
		"keys":         func(c *aclUser) { c.root.keys = "~*" },
		"channels":     func(c *aclUser) { c.root.channels = "&*" },
		"databases":    func(c *aclUser) { c.root.databases = "alldbs" },
		"no databases": func(c *aclUser) { c.root.databases, c.root.hasDatabases = "", false },
		"a selector":   func(c *aclUser) { c.selectors = append(c.selectors, aclPart{}) },
		"in one":       func(c *aclUser) { c.selectors[0].commands = "-@all +set" },
		"its keys":     func(c *aclUser) { c.selectors[0].keys = "~*" },
		"no password":  func(c *aclUser) { c.nopass = true },
		"no checks":    func(c *aclUser) { c.unchecked = true },
	} {
		c := user()
		if change(c); user().within(c, nil) {
			t.Errorf("%s more was not noticed", name)
		}
	}
}
