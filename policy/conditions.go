package policy

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// conditions are a rule's conditions beyond the command. An empty field is no condition.
type conditions struct {
	users, names globs
	anyAddress   bool // no condition on addresses
	unix         bool // clients on Unix sockets
	prefixes     []netip.Prefix
	listeners    []string
	databases    []int
	opaque       bool
	keysOver     int
	keys         globs
	arguments    globs // in lower case
}

// scriptsOpaque is the one value of RuleSpec.Scripts.
const scriptsOpaque = "opaque"

// newConditions compiles the conditions of a rule; nil where it has none.
func newConditions(spec *RuleSpec, fail failure) *conditions {
	c := &conditions{
		users: compileGlobs(spec.Users), names: compileGlobs(spec.ClientNames),
		anyAddress: len(spec.Addresses) == 0, listeners: spec.Listeners,
		databases: spec.Databases, keysOver: spec.KeysOver, keys: compileGlobs(spec.Keys),
	}
	c.opaque = strings.EqualFold(spec.Scripts, scriptsOpaque)
	if spec.Scripts != "" && !c.opaque {
		fail("scripts", -1, "want opaque, got %q", spec.Scripts)
	}
	if spec.KeysOver < 0 {
		fail("keys_over", -1, "must not be negative, got %d", spec.KeysOver)
	}
	for i, db := range spec.Databases {
		if db < 0 {
			fail("databases", i, "must not be negative, got %d", db)
		}
	}
	if i := slices.Index(spec.Users, ""); i >= 0 {
		fail("users", i, "must not be empty")
	}
	if i := slices.Index(spec.Listeners, ""); i >= 0 {
		fail("listeners", i, "must not be empty")
	}
	for _, text := range spec.Arguments {
		c.arguments = append(c.arguments, CompileGlob(strings.ToLower(text)))
	}
	c.addresses(spec.Addresses, fail)
	if len(c.users)+len(c.names)+len(c.listeners)+len(c.databases)+len(c.keys)+
		len(c.arguments) == 0 &&
		c.anyAddress && !c.opaque && c.keysOver == 0 {
		return nil
	}
	return c
}

func (c *conditions) addresses(texts []string, fail failure) {
	for i, text := range texts {
		if strings.EqualFold(text, "unix") {
			c.unix = true
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.Zone() != "" {
				fail("addresses", i, `want an address, a prefix ("10.0.0.0/8") or unix, got %q`,
					text)
				continue
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Addr().Is4In6() {
			fail("addresses", i, "write the IPv4 address itself, not %q", text)
			continue
		}
		if whole := prefix.Masked(); whole != prefix {
			fail("addresses", i, "%s has bits beyond its length: did you mean %s?", text, whole)
			continue
		}
		c.prefixes = append(c.prefixes, prefix)
	}
}

// keyed reports whether the rule asks for keys by name.
func (c *conditions) keyed() bool { return c != nil && len(c.keys) > 0 }

// holds evaluates all conditions but the globs over keys, for a client that the rule is known to be
// about (view.about), or that is not known. strict is that of a rule that restricts: one of several
// databases is then enough, and otherwise all of them are needed.
func (c *conditions) holds(req *Request, cmd *Command, k *keySet, strict bool) truth {
	if c == nil {
		return yes
	}
	t := yes
	if req.Client == nil && c.asksClient() {
		t = maybe
	}
	if c.opaque {
		t = min(t, opaqueCode(req, cmd))
	}
	if t != no && c.keysOver > 0 {
		t = min(t, k.over(c.keysOver))
	}
	if t != no && len(c.arguments) > 0 {
		t = min(t, c.argument(req, cmd, strict))
	}
	if t != no && len(c.databases) > 0 {
		t = min(t, c.database(req, cmd, strict))
	}
	return t
}

// argument matches the request's arguments with the rule's: strict needs one match, otherwise all.
func (c *conditions) argument(req *Request, cmd *Command, strict bool) truth {
	first := 1
	if cmd.Parent != nil {
		first = 2
	}
	if len(req.Args) <= first {
		return maybeUnless(!req.doubt)
	}
	for _, arg := range req.Args[first:] {
		if c.arguments.matchFold(arg) == strict || c.matchC(arg) == strict {
			return truthOf(strict)
		}
	}
	if req.doubt {
		return maybe
	}
	return truthOf(!strict)
}

// matchC matches an argument as the server's C strings do: the server finds parameters by hash, and
// so finds one with a NUL byte behind its name as well if both fall into the same bucket.
func (c *conditions) matchC(arg []byte) bool {
	if end := bytes.IndexByte(arg, 0); end >= 0 {
		arg = arg[:end]
	}
	return c.arguments.matchFold(arg)
}

// asksClient reports whether the rule asks who sends the request.
func (c *conditions) asksClient() bool {
	return len(c.users)+len(c.names)+len(c.listeners) > 0 || !c.anyAddress
}

// client reports whether the client is one that the rule is about.
func (c *conditions) client(id *Identity) bool {
	return (len(c.users) == 0 || c.users.matchString(id.User)) &&
		(len(c.listeners) == 0 || slices.Contains(c.listeners, id.Listener)) &&
		(len(c.names) == 0 || c.names.matchString(id.Name)) &&
		(c.anyAddress || c.address(id.Addr))
}

func (c *conditions) address(addr netip.Addr) bool {
	if !addr.IsValid() {
		return c.unix
	}
	addr = addr.Unmap().WithZone("")
	for _, prefix := range c.prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// opaqueCode reports whether the request runs or loads code with unknown calls. Unseen code is as
// opaque as code that hides its calls.
func opaqueCode(req *Request, cmd *Command) truth {
	return truthOf(cmd.runsCode && (req.Script == nil || req.Script.Opaque))
}

// database reports whether the request touches one of the rule's databases (strict), or only those.
// FLUSHALL touches all databases, SWAPDB, MOVE and COPY those that they name as well, and code can
// SELECT any.
func (c *conditions) database(req *Request, cmd *Command, strict bool) truth {
	if req.AnyDB {
		return maybe
	}
	in := slices.Contains(c.databases, req.DB)
	if !cmd.namesDatabases() && !cmd.Effects.Any(EffectScript) {
		return truthOf(in)
	}
	if in == strict && cmd.Name != "swapdb" {
		return truthOf(in)
	}
	return c.otherDatabases(req, cmd, in, strict)
}

// namesDatabases reports whether requests may be about other databases than the session's own.
func (c *Command) namesDatabases() bool {
	switch c.Name {
	case "flushall", "swapdb", "move", "copy", "select", "":
		return true
	}
	return false
}

// otherDatabases checks the databases that a request names or reaches, where the session's own does
// not settle the matter.
func (c *conditions) otherDatabases(req *Request, cmd *Command, in, strict bool) truth {
	var named [2][]byte
	switch args := req.Args; {
	case cmd.Name == "swapdb" && len(args) == 3:
		named[0], named[1] = args[1], args[2]
	case cmd.Name == "move" && len(args) == 3:
		named[0] = args[2]
	case cmd.Name == "select" && len(args) == 2:
		named[0] = args[1]
	case cmd.Name == "copy":
		for i := 3; i+1 < len(args); i++ {
			if isWord(args[i], "db") {
				i++
				named[0] = args[i]
			}
		}
	default:
		return maybe
	}
	any, all := in && cmd.Name != "swapdb", in || cmd.Name == "swapdb"
	for _, word := range named {
		if word == nil {
			continue
		}
		n, ok := parseInt(word)
		if !ok {
			return maybe // the server refuses it
		}
		is := slices.Contains(c.databases, int(n))
		any, all = any || is, all && is
	}
	if strict {
		return truthOf(any)
	}
	return truthOf(all)
}
