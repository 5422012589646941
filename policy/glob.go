package policy

import (
	"bytes"
	"strings"
)

// Glob is a compiled pattern, as in KEYS, PSUBSCRIBE and ACL rules. It matches exactly as the
// server's case-sensitive stringmatchlen (util.c) does: * any bytes, ? one byte, [abc], [a-z] and
// [^...] one byte of a set, \x the byte x. It works on bytes; a ] right after the [ ends the set,
// and a set or an escape that the pattern's end cuts off counts as complete. There is one
// difference: any number of stars matches the empty name here, while the server matches it with a
// single star only, by a shortcut that skips the matcher.
// one does, by a shortcut that skips the matcher.
//
// Most patterns are one literal and a star, and are compared as such. For the others, only the last
// star is ever retried, so that a match takes at most len(pattern) times len(name) steps; the
// server's own recursion takes exponential time for some patterns.
//
// The zero Glob matches only the empty name.
type Glob struct {
	kind    globKind
	literal string // exact, prefix, suffix: what to compare
	parts   []globPart
	text    string
}

type globKind uint8

const (
	globExact globKind = iota
	globPrefix
	globSuffix
	globAny
	globParts
)

// globPart is one byte of a name, or a star.
type globPart struct {
	set  *[4]uint64 // the bytes that match; nil: char alone
	char byte
	star bool
}

// CompileGlob compiles a pattern. Every text is valid.
func CompileGlob(text string) Glob {
	g := Glob{kind: globParts, text: text, parts: globPartsOf(text)}
	literal, stars := make([]byte, 0, len(g.parts)), 0
	for _, p := range g.parts {
		switch {
		case p.star:
			stars++
		case p.set != nil:
			return g
		default:
			literal = append(literal, p.char)
		}
	}
	switch n := len(g.parts); {
	case stars == 0:
		g.kind = globExact
	case n == 1:
		g.kind = globAny
	case stars == 1 && g.parts[n-1].star:
		g.kind = globPrefix
	case stars == 1 && g.parts[0].star:
		g.kind = globSuffix
	default:
		return g
	}
	g.literal, g.parts = string(literal), nil
	return g
}

// String is the pattern's source.
func (g *Glob) String() string { return g.text }

// Match reports whether the pattern matches the name. It allocates nothing.
func (g *Glob) Match(name []byte) bool {
	switch g.kind {
	case globExact:
		return string(name) == g.literal
	case globPrefix:
		return len(name) >= len(g.literal) && string(name[:len(g.literal)]) == g.literal
	case globSuffix:
		return len(name) >= len(g.literal) &&
			string(name[len(name)-len(g.literal):]) == g.literal
	case globAny:
		return true
	}
	return matchParts(g.parts, name)
}

// MatchString is Match for a string.
func (g *Glob) MatchString(name string) bool {
	switch g.kind {
	case globExact:
		return name == g.literal
	case globPrefix:
		return strings.HasPrefix(name, g.literal)
	case globSuffix:
		return strings.HasSuffix(name, g.literal)
	case globAny:
		return true
	}
	return matchParts(g.parts, name)
}

func matchParts[T []byte | string](parts []globPart, name T) bool {
	at, i := 0, 0
	star, resume := -1, 0 // the last star, and where its rest is tried next
	for i < len(name) {
		if at < len(parts) {
			p := &parts[at]
			if p.star {
				star, resume = at, i
				at++
				continue
			}
			if p.matches(name[i]) {
				at++
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		resume++
		at, i = star+1, resume
	}
	for at < len(parts) && parts[at].star {
		at++
	}
	return at == len(parts)
}

func (p *globPart) matches(c byte) bool {
	if p.set != nil {
		return p.set[c>>6]&(1<<(c&63)) != 0
	}
	return p.char == c
}

// globPartsOf takes a pattern apart as stringmatchlen reads it.
func globPartsOf(text string) []globPart {
	var parts []globPart
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*':
			if n := len(parts); n == 0 || !parts[n-1].star {
				parts = append(parts, globPart{star: true})
			}
		case c == '?':
			parts = append(parts, globPart{set: &[4]uint64{^uint64(0), ^uint64(0), ^uint64(0),
				^uint64(0)}})
		case c == '[':
			set, end := globSet(text, i+1)
			parts = append(parts, globPart{set: set})
			i = end
		case c == '\\' && i+1 < len(text):
			i++
			parts = append(parts, globPart{char: text[i]})
		default:
			parts = append(parts, globPart{char: c})
		}
	}
	return parts
}

// globSet reads a set from after its [ on, and returns the place of its ], or of the last byte
// where there is none.
func globSet(text string, i int) (set *[4]uint64, end int) {
	set = new([4]uint64)
	add := func(c byte) { set[c>>6] |= 1 << (c & 63) }
	negated := i < len(text) && text[i] == '^'
	if negated {
		i++
	}
	for ; i < len(text) && text[i] != ']'; i++ {
		switch left := len(text) - i; {
		case text[i] == '\\' && left >= 2:
			i++
			add(text[i])
		case left >= 3 && text[i+1] == '-':
			from, to := min(text[i], text[i+2]), max(text[i], text[i+2])
			for c := int(from); c <= int(to); c++ {
				add(byte(c))
			}
			i += 2
		default:
			add(text[i])
		}
	}
	if negated {
		for w := range set {
			set[w] = ^set[w]
		}
	}
	return set, min(i, len(text)-1)
}

// globs is a list of patterns.
type globs []Glob

func compileGlobs(texts []string) globs {
	var list globs
	for _, text := range texts {
		list = append(list, CompileGlob(text))
	}
	return list
}

func (l globs) match(name []byte) bool {
	for i := range l {
		if l[i].Match(name) {
			return true
		}
	}
	return false
}

// matchFold is match for a name in any case; the globs are in lower case.
func (l globs) matchFold(name []byte) bool {
	var room [64]byte
	if len(name) > len(room) {
		return l.match(bytes.ToLower(name))
	}
	lower := room[:len(name)]
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return l.match(lower)
}

func (l globs) matchString(name string) bool {
	for i := range l {
		if l[i].MatchString(name) {
			return true
		}
	}
	return false
}
