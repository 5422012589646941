package policy

import "strings"

// keyIndex finds which of many globs match a key, at the cost of walking along the key once. It is
// a tree over the literal bytes that globs begin with: a glob hangs at the node that its literal
// beginning leads to, and is met by exactly those keys that begin in the same way. There, a glob of
// one literal and a star needs no further look; another has the rest of its pattern matched against
// the rest of the key.
//
// Globs that begin with a wildcard hang at the root, and each of them is tried for every key. The
// rejected design has a hash table for each length of a literal beginning: it is no faster, and
// slow where the lengths are many.
type keyIndex struct {
	root keyNode
}

// keyNode is reached by the keys that begin with the labels on the way to it.
type keyNode struct {
	label string // the key's bytes after the parent's
	next  string // the first byte of each child's label
	kids  []*keyNode
	here  []keyGlob
}

// keyGlob is a glob of a route, without the literal beginning that leads to its node.
type keyGlob struct {
	route int // Route.Index
	kind  globKind
	rest  []globPart // globParts: the rest of the pattern
}

// add puts a glob of a route into the index.
func (x *keyIndex) add(text string, route int) {
	parts := globPartsOf(text)
	n := 0
	for n < len(parts) && !parts[n].star && parts[n].set == nil {
		n++
	}
	begin := make([]byte, n)
	for i := range begin {
		begin[i] = parts[i].char
	}
	g := keyGlob{route: route, kind: globParts, rest: parts[n:]}
	switch {
	case len(g.rest) == 0:
		g.kind = globExact
	case len(g.rest) == 1 && g.rest[0].star:
		g.kind = globPrefix
	}
	node := x.root.insert(string(begin))
	node.here = append(node.here, g)
}

// insert returns the node that text leads to, made if there is none.
func (n *keyNode) insert(text string) *keyNode {
	for text != "" {
		at := strings.IndexByte(n.next, text[0])
		if at < 0 {
			kid := &keyNode{label: text}
			n.next, n.kids = n.next+text[:1], append(n.kids, kid)
			return kid
		}
		kid := n.kids[at]
		common := commonPrefix(text, kid.label)
		if common < len(kid.label) {
			kid = kid.split(common)
			n.kids[at] = kid
		}
		n, text = kid, text[common:]
	}
	return n
}

// split puts a node in the middle of n's label and returns it.
func (n *keyNode) split(at int) *keyNode {
	upper := &keyNode{label: n.label[:at], next: n.label[at : at+1], kids: []*keyNode{n}}
	n.label = n.label[at:]
	return upper
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// child returns the next node for the key from n, which the key's first at bytes led to, and how
// many of its bytes lead there; nil if the key leads no further.
func (n *keyNode) child(key []byte, at int) (*keyNode, int) {
	if at == len(key) {
		return nil, at
	}
	i := strings.IndexByte(n.next, key[at])
	if i < 0 {
		return nil, at
	}
	kid := n.kids[i]
	end := at + len(kid.label)
	if end > len(key) || string(key[at:end]) != kid.label {
		return nil, at
	}
	return kid, end
}

// matches reports whether the glob matches a key that led to its node; rest is the key's remainder.
func (g *keyGlob) matches(rest []byte) bool {
	switch g.kind {
	case globExact:
		return len(rest) == 0
	case globPrefix:
		return true
	}
	return matchParts(g.rest, rest)
}
