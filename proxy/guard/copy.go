package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The guard's user is a copy of another user with some rights removed. ACL GETUSER returns all
// fields of a user, and newer servers have more of them: Valkey 9.1 has databases. So the copy
// includes every field; a field or flag unknown to this file makes a copy impossible; and the copy
// is read back and compared before any link logs in as it.

// aclPart is the root permissions of a user, or one of its selectors. Each field holds words of an
// ACL rule in the server's own form.
type aclPart struct {
	commands, keys, channels, databases string

	hasDatabases bool // the server has permissions for databases
}

// aclUser is a server's user without its passwords.
type aclUser struct {
	on, nopass bool
	unchecked  bool // the payload of its RESTORE is not checked: skip-sanitize-payload
	root       aclPart
	selectors  []aclPart
}

// errNoCopy: the user default cannot be copied, or its copy differs.
var errNoCopy = errors.New("the user default cannot be copied")

// aclFields reads a flat list of names and values.
func aclFields(v any) (map[string]any, error) {
	list, _ := v.([]any)
	out := make(map[string]any, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		if name, ok := list[i].(string); ok {
			out[name] = list[i+1]
		}
	}
	if len(out) == 0 || len(out)*2 != len(list) {
		return nil, fmt.Errorf("%w: ACL GETUSER cannot be read", errNoCopy)
	}
	return out, nil
}

// parseACLUser reads the reply to ACL GETUSER.
func parseACLUser(reply any) (u aclUser, err error) {
	fields, err := aclFields(reply)
	if err != nil {
		return u, err
	}
	for name, value := range fields {
		switch name {
		case "flags":
			err = u.setFlags(value)
		case "passwords":
		case "selectors":
			err = u.setSelectors(value)
		default:
			err = u.root.set(name, value)
		}
		if err != nil {
			return u, err
		}
	}
	return u, nil
}

func (u *aclUser) setFlags(value any) error {
	list, _ := value.([]any)
	for _, f := range list {
		switch flag, _ := f.(string); flag {
		case "on":
			u.on = true
		case "off":
		case "nopass":
			u.nopass = true
		case "sanitize-payload": // neither flag means the same
		case "skip-sanitize-payload":
			u.unchecked = true
		default:
			return fmt.Errorf("%w: its flag %q is not known", errNoCopy, flag)
		}
	}
	return nil
}

func (u *aclUser) setSelectors(value any) error {
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("%w: its selectors cannot be read", errNoCopy)
	}
	for _, entry := range list {
		var p aclPart
		fields, err := aclFields(entry)
		if err != nil {
			return err
		}
		for name, v := range fields {
			if err := p.set(name, v); err != nil {
				return err
			}
		}
		u.selectors = append(u.selectors, p)
	}
	return nil
}

func (p *aclPart) set(name string, value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("%w: its field %q cannot be read", errNoCopy, name)
	}
	switch name {
	case "commands":
		p.commands = text
	case "keys":
		p.keys = text
	case "channels":
		p.channels = text
	case "databases":
		p.databases, p.hasDatabases = text, true
	default:
		return fmt.Errorf("%w: its field %q is not known", errNoCopy, name)
	}
	return nil
}

// words returns the rule for a part like p, less restrict, plus grants.
func (p *aclPart) words(restrict, grants []string) []string {
	words := []string{"resetkeys", "resetchannels"}
	if p.hasDatabases {
		words = append(words, "resetdbs")
	}
	words = append(append(words, "-@all"), strings.Fields(p.commands)...)
	words = append(append(words, restrict...), grants...)
	for _, list := range []string{p.keys, p.channels, p.databases} {
		words = append(words, strings.Fields(list)...)
	}
	return words
}

// words returns the rule for a user like u, less restrict in each part, plus grants in the root. It
// has no passwords and no on or off.
func (u *aclUser) words(restrict, grants []string) []string {
	words := []string{"clearselectors"}
	if u.unchecked {
		words = append(words, "skip-sanitize-payload")
	}
	words = append(words, u.root.words(restrict, grants)...)
	for i := range u.selectors {
		inner := u.selectors[i].words(restrict, nil)
		words = append(words, "("+strings.Join(inner, " ")+")")
	}
	return words
}

// equal reports whether c, an exact copy of u, is equal to it.
func (u *aclUser) equal(c *aclUser) bool {
	return u.unchecked == c.unchecked && u.root == c.root &&
		slices.Equal(u.selectors, c.selectors)
}

// within reports whether c, a restricted copy of u, has no right beyond those of u and grants.
// Keys, channels and databases must be equal; every command that c allows by name must be allowed
// by the same word in u.
func (u *aclUser) within(c *aclUser, grants []string) bool {
	if c.nopass || u.unchecked != c.unchecked || len(u.selectors) != len(c.selectors) ||
		!u.root.within(&c.root, grants) {
		return false
	}
	for i := range u.selectors {
		if !u.selectors[i].within(&c.selectors[i], nil) {
			return false
		}
	}
	return true
}

func (p *aclPart) within(c *aclPart, grants []string) bool {
	allowed := append(strings.Fields(p.commands), grants...)
	for _, word := range strings.Fields(c.commands) {
		if !strings.HasPrefix(word, "-") && !slices.Contains(allowed, word) {
			return false
		}
	}
	return p.keys == c.keys && p.channels == c.channels && p.databases == c.databases &&
		p.hasDatabases == c.hasDatabases
}

// recipe is the recipe of the guard's user: another user, and the changes.
type recipe struct {
	of               *aclUser
	restrict, grants []string
}

// hash identifies a copy by its rights.
func (c *recipe) hash() string {
	sum := sha256.Sum256([]byte(strings.Join(c.of.words(c.restrict, c.grants), "\n")))
	return hex.EncodeToString(sum[:4])
}

// write makes the user, which must not exist, and returns the server's description of it. The user
// is first an exact copy that is off, which proves that the server understands the words as
// intended. Then the restrictions follow, and only then can a link log in.
func (c *recipe) write(ctx context.Context, on Server, u *User) (
	is string, err error) {
	exact, _, err := c.set(ctx, on, u.Name, c.of.words(nil, nil))
	if err != nil {
		return "", err
	}
	if exact.on || !c.of.equal(exact) {
		return "", fmt.Errorf("%w: the server has made something else of it", errNoCopy)
	}
	sum := sha256.Sum256([]byte(u.Password))
	words := append(c.of.words(c.restrict, c.grants), "on", "#"+hex.EncodeToString(sum[:]))
	made, is, err := c.set(ctx, on, u.Name, words)
	if err == nil && !c.of.within(made, c.grants) {
		err = fmt.Errorf("%w: the copy has more rights", errNoCopy)
	}
	return is, err
}

// set applies words to the user, and reads it back.
func (c *recipe) set(ctx context.Context, on Server, name string, words []string) (
	*aclUser, string, error) {
	args := []any{"ACL", "SETUSER", name, "reset"}
	for _, w := range words {
		args = append(args, w)
	}
	if _, err := on.Do(ctx, args...); err != nil {
		return nil, "", fmt.Errorf("ACL SETUSER: %w", err)
	}
	reply, err := on.Do(ctx, "ACL", "GETUSER", name)
	if err != nil {
		return nil, "", fmt.Errorf("ACL GETUSER: %w", err)
	}
	user, err := parseACLUser(reply)
	return &user, fmt.Sprint(reply), err
}
