package proxy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"holdfast/proxy/resp"
)

// clientFilter is the filter of CLIENT KILL and CLIENT LIST. The server parses the same words first
// and refuses those that its version does not know. The filter is then evaluated here, on the lines
// of CLIENT LIST as clients see them, since the server would evaluate it on links.
//
// A later filter of one kind replaces an earlier one. Only ids add up, if the server takes several
// (Valkey 8.1); on older servers the last id counts.
//
// An unknown word makes the filter unknown, and an unknown filter selects nothing.
type clientFilter struct {
	tests   map[string]lineTest // by the word: "name", "not-name"
	ids     idSet               // of ID; nil: no ID
	notIDs  idSet
	addr    string // of ADDR; "": none
	skipMe  bool
	known   []filterWord // the recognized filters
	unknown int          // index of the first unrecognized argument; 0: none
}

// idSet is a set, since a client may give any number of ids.
type idSet map[uint64]struct{}

func (s idSet) has(id uint64) bool {
	_, ok := s[id]
	return ok
}

// filterWord is the place of a filter's value in the arguments.
type filterWord struct {
	word string
	at   int
}

// parseClientFilter reads the filters in args from index 2 on. several: the server takes several
// ids after one ID.
func parseClientFilter(args [][]byte, skipMe, several bool) *clientFilter {
	f := &clientFilter{tests: map[string]lineTest{}, skipMe: skipMe}
	for i := 2; i < len(args); {
		word := strings.ToLower(string(args[i]))
		if word == "id" || word == "not-id" {
			n := f.takeIDs(word, args[i+1:], several)
			if n == 0 && !several {
				f.unknown = i
				return f
			}
			i += 1 + n
			continue
		}
		if i+1 >= len(args) || !f.take(word, string(args[i+1])) {
			f.unknown = i
			return f
		}
		f.known = append(f.known, filterWord{word, i + 1})
		i += 2
	}
	return f
}

// takeIDs reads the ids of ID or NOT-ID and returns their number: one, or with several all the
// numbers that follow.
func (f *clientFilter) takeIDs(word string, args [][]byte, several bool) int {
	ids := &f.notIDs
	if word == "id" {
		ids = &f.ids
	}
	if *ids == nil || !several {
		*ids = idSet{}
	}
	if !several {
		args = args[:min(1, len(args))]
	}
	for n, a := range args {
		id, err := strconv.ParseInt(string(a), 10, 64)
		if err == nil {
			(*ids)[uint64(id)] = struct{}{}
		} else if several {
			return n
		}
	}
	return len(args)
}

// take reads a filter with one value.
func (f *clientFilter) take(word, value string) bool {
	if word == "skipme" {
		f.skipMe = !strings.EqualFold(value, "no")
		return true
	}
	kind, not := strings.CutPrefix(word, "not-")
	if make := lineTests[kind]; make != nil {
		test := make(value)
		if not {
			f.tests[word] = func(line []byte) bool { return !test(line) }
		} else {
			f.tests[word] = test
		}
		if word == "addr" {
			f.addr = value
		}
		return true
	}
	return false
}

// matches reports whether the filter selects a line. It selects the proxy's own connections only by
// id or address: no client means them by any other filter.
func (f *clientFilter) matches(l *clientLine, self uint64) bool {
	id := l.id()
	switch {
	case f.unknown != 0, len(l.text) == 0, f.skipMe && l.session != nil && id == self:
		return false
	case f.ids != nil && !f.ids.has(id), f.notIDs.has(id):
		return false
	case l.own && f.ids == nil && f.addr == "":
		return false
	}
	for _, test := range f.tests {
		if !test(l.text) {
			return false
		}
	}
	return true
}

// impossibleAddr is an address that no client has: a CLIENT KILL with it is checked in every other
// respect, and has no effect.
const impossibleAddr = "0.0.0.0:0"

// harmless returns a CLIENT KILL of the same words that selects no client, for the server to check:
// impossibleAddr replaces every address that the client gave. It leaves out the rest after an
// unknown word, since the server might read an address in it.
func (f *clientFilter) harmless(args [][]byte) [][]byte {
	args = slices.Clone(args)
	for _, k := range f.known {
		if k.word == "addr" {
			args[k.at] = []byte(impossibleAddr)
		}
	}
	if f.unknown != 0 {
		args = args[:f.unknown+1]
	}
	return slices.Insert(args, 2, []byte("ADDR"), []byte(impossibleAddr))
}

// severalIDs reports whether the server's CLIENT KILL and LIST take several ids after one ID, and
// combine ID with other filters.
func (w *worker) severalIDs() bool {
	info := w.srv.up.Load().Info()
	return info.Server == "valkey" && info.VersionNum >= 80100
}

// killArgs reads the arguments of CLIENT KILL: the filter, the form of the command that selects
// no client, and whether it is the old form, CLIENT KILL addr:port.
func (w *worker) killArgs(args [][]byte) (f *clientFilter, check [][]byte, old bool) {
	switch {
	case len(args) < 3:
		return &clientFilter{unknown: len(args)}, args, false
	case len(args) == 3:
		f = parseClientFilter([][]byte{args[0], args[1], []byte("addr"), args[2]}, false, false)
		return f, [][]byte{args[0], args[1], []byte(impossibleAddr)}, true
	}
	f = parseClientFilter(args, true, w.severalIDs())
	return f, f.harmless(args), false
}

// isNoSuchClient reports whether a reply is that of the old form without a match.
func isNoSuchClient(reply []byte) bool {
	return bytes.Equal(trimCRLF(reply), []byte("-"+textNoSuchClient))
}

// killReply is the reply to CLIENT KILL that killed n clients.
func killReply(n int, old bool) []byte {
	switch {
	case !old:
		return resp.AppendInt(nil, int64(n))
	case n == 0:
		return resp.AppendError(nil, textNoSuchClient)
	}
	return resp.AppendSimple(nil, "OK")
}
