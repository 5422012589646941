package audit

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"holdfast/policy"
)

const (
	// describeKeys and describeWord bound a description: the number of keys, and the bytes of each.
	describeKeys = 10
	describeWord = 64
)

// A description shows a command to people, in the audit log and on the console: its name, its first
// keys, and the SHA1 of its code. It never shows values, which belong to the application, nor
// secrets. Of a command without keys that administers the server it shows the arguments, since an
// operator must judge them.
type description struct {
	out    strings.Builder
	keys   int
	hidden bool // the last word stands for hidden arguments
}

// Describe makes the description.
func Describe(cmd *policy.Command, args [][]byte) string {
	if len(args) == 1 && cmd.ID != 0 {
		return spoken(cmd.Name) // the common case in a flood
	}
	d := &description{}
	d.word([]byte(spoken(cmp.Or(cmd.Name, string(args[0]))))) // the client's own word for an unknown one
	if cmd.ID == 0 {
		d.hide(len(args) > 1)
		return d.out.String()
	}
	first := 1 + strings.Count(cmd.Name, "|")
	code := cmd.Code(args)
	keys, _ := cmd.Keys(args, nil)
	isKey := make(map[int]bool, len(keys))
	for _, k := range keys {
		isKey[k.Pos] = !k.Flags.Has(policy.KeyNotKey)
	}
	for i := min(first, len(args)); i < len(args); i++ {
		switch {
		case isKey[i]:
			d.key(args[i])
		case code != nil && bytes.Equal(args[i], code):
			sum := sha1.Sum(code)
			d.word([]byte("sha1:" + hex.EncodeToString(sum[:])))
			code = nil
		case administers(cmd):
			d.argument(cmd, args, i)
		default:
			d.hide(true)
		}
	}
	if more := d.keys - describeKeys; more > 0 {
		fmt.Fprintf(&d.out, " (+%d keys)", more)
	}
	return d.out.String()
}

// spoken is a command with its subcommand as a client writes them.
func spoken(command string) string { return strings.ReplaceAll(command, "|", " ") }

// administers reports whether the command's arguments contain no application data.
func administers(cmd *policy.Command) bool {
	return len(cmd.KeySpecs) == 0 && cmd.Categories.Any(policy.CatAdmin|policy.CatDangerous) &&
		!cmd.Flags.Has(policy.FlagModule)
}

// argument shows one argument of an administrative command, unless it may be a secret.
func (d *description) argument(cmd *policy.Command, args [][]byte, i int) {
	secret := false
	switch cmd.Name {
	case "config|set":
		secret = i%2 == 1 && secretSetting(args[i-1])
	case "acl|setuser", "acl|dryrun", "module|load", "module|loadex":
		secret = i > 2
	}
	if secret {
		d.hide(true)
		return
	}
	d.word(args[i])
}

// secretSetting reports whether a server parameter holds a password or its user.
func secretSetting(name []byte) bool {
	lower := bytes.ToLower(name)
	for _, part := range []string{"pass", "auth", "user"} {
		if bytes.Contains(lower, []byte(part)) {
			return true
		}
	}
	return false
}

func (d *description) key(key []byte) {
	if d.keys++; d.keys <= describeKeys {
		d.word(key)
	}
}

// hide adds the placeholder of a hidden argument, or of several in a row.
func (d *description) hide(some bool) {
	if some && !d.hidden {
		d.out.WriteString(" …")
		d.hidden = true
	}
}

// word adds a word, in quotes if it is not plain text.
func (d *description) word(b []byte) {
	if d.out.Len() > 0 {
		d.out.WriteByte(' ')
	}
	d.hidden = false
	cut := b[:min(len(b), describeWord)]
	plain := len(cut) > 0 && !bytes.ContainsFunc(cut, func(r rune) bool {
		return r == unicode.ReplacementChar || r == '"' || !unicode.IsGraphic(r) || unicode.IsSpace(r)
	})
	if plain || d.out.Len() == 0 {
		d.out.Write(bytes.ToValidUTF8(cut, []byte("?")))
	} else {
		d.out.WriteString(strconv.Quote(string(cut)))
	}
	if len(cut) < len(b) {
		d.out.WriteString("…")
	}
}
