package keyspace

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
)

// errNoFields says that a hash cannot be written.
var errNoFields = errors.New("the target knows no deadlines of fields")

// Commands that add items carry so many arguments, or about so many bytes.
const (
	addItems = 512
	addBytes = 64 << 10
)

// builder is a sink that makes the commands that build a value, in order; emit may send them.
type builder struct {
	typ, name string
	deadlines bool // the target supports field deadlines
	emit      func(args ...string) error
	from      *Server // whose clock gives pending entries' times
	err       error   // the first of emit

	offset int64    // of a string
	laid   bool     // the string has its length
	args   []string // of a command that adds items
	bytes  int
	fields map[int64][]string // those of args that have a deadline, by it

	about   map[string]any // of a stream
	groups  []streamGroup
	ghosts  []string // pending entries missing in the stream, in order
	deleted []string // entries added, to be deleted at the end
	first   string   // first entry of the source
	begun   bool     // the stream exists
}

// streamGroup is a group of a stream.
type streamGroup struct {
	meta      map[string]any
	consumers []string
	pending   []pendingEntry
}

type pendingEntry struct {
	id, consumer string
	n, at        int64 // deliveries; the last one, in milliseconds since 1970
}

func newBuilder(typ, name string, deadlines bool, emit func(args ...string) error) *builder {
	return &builder{typ: typ, name: name, deadlines: deadlines, emit: emit}
}

// do makes a command.
func (b *builder) do(args ...string) {
	if b.err == nil {
		b.err = b.emit(args...)
	}
}

// length gives a string that comes in pieces its length at once: a string that grows is copied by the
// server at every MB, in up to 0.2 s at 100 MB.
func (b *builder) length(n int64) {
	if b.laid = n > pieceBytes; b.laid {
		b.do("SETRANGE", b.name, decimal(n-1), "\x00")
	}
}

func (b *builder) text(part string) {
	if b.offset == 0 && !b.laid {
		b.do("SET", b.name, part)
	} else {
		b.do("SETRANGE", b.name, decimal(b.offset), part)
	}
	b.offset += int64(len(part))
}

// adding is the command that adds items of each type.
var adding = map[string]string{"list": "RPUSH", "set": "SADD", "zset": "ZADD", "hash": "HSET"}

func (b *builder) item(parts ...any) {
	first := textOf(parts[0])
	switch b.typ {
	case "zset":
		b.args = append(b.args, textOf(parts[1]), first)
	case "hash":
		value := textOf(parts[1])
		b.args = append(b.args, first, value)
		b.bytes += len(value)
		if at := countOf(parts[2]); at > 0 {
			if b.fields == nil {
				b.fields = make(map[int64][]string)
			}
			b.fields[at] = append(b.fields[at], first)
		}
	default:
		b.args = append(b.args, first)
	}
	b.bytes += len(first)
	if len(b.args) >= addItems || b.bytes >= addBytes {
		b.add()
	}
}

// add makes the command for the items so far.
func (b *builder) add() {
	if len(b.args) == 0 {
		return
	}
	b.do(append([]string{adding[b.typ], b.name}, b.args...)...)
	b.args, b.bytes = nil, 0
	if len(b.fields) > 0 && !b.deadlines && b.err == nil {
		b.err = errNoFields
	}
	for at, fields := range b.fields {
		b.do(append([]string{"HPEXPIREAT", b.name, decimal(at), "FIELDS",
			strconv.Itoa(len(fields))}, fields...)...)
	}
	clear(b.fields)
}

// end makes the remaining commands.
func (b *builder) end() {
	b.add()
	if b.typ == "stream" {
		b.endStream()
	}
}

func (b *builder) stream(about map[string]any) { b.about = about }

func (b *builder) group(meta map[string]any) {
	b.groups = append(b.groups, streamGroup{meta: meta})
}

func (b *builder) consumer(_, name string) {
	g := &b.groups[len(b.groups)-1]
	g.consumers = append(g.consumers, name)
}

func (b *builder) pending(_, id, consumer string, n, idle int64) {
	g := &b.groups[len(b.groups)-1]
	g.pending = append(g.pending, pendingEntry{id, consumer, n, b.from.now() - idle})
}

// entry adds an entry, and before it the pending entries that no longer exist: no command makes an
// entry pending that is not in the stream. They are deleted at the end.
func (b *builder) entry(id string, fields []any) {
	if !b.begun {
		b.begin()
	}
	b.haunt(parseStreamID(id))
	b.first = cmp.Or(b.first, id)
	args := []string{"XADD", b.name, id}
	for _, f := range fields {
		args = append(args, textOf(f))
	}
	b.do(args...)
	if len(b.ghosts) > 0 && b.ghosts[0] == id {
		b.ghosts = b.ghosts[1:]
	}
}

// begin makes the stream and lists the pending entries; it is not known yet which of them the
// stream still has.
func (b *builder) begin() {
	b.begun = true
	b.do("XGROUP", "CREATE", b.name, TempMark, "0", "MKSTREAM")
	b.do("XGROUP", "DESTROY", b.name, TempMark)
	for _, g := range b.groups {
		for _, p := range g.pending {
			b.ghosts = append(b.ghosts, p.id)
		}
	}
	slices.SortFunc(b.ghosts, func(x, y string) int {
		return parseStreamID(x).compare(parseStreamID(y))
	})
	b.ghosts = slices.Compact(b.ghosts)
}

// haunt adds the pending entries below an id.
func (b *builder) haunt(below streamID) {
	for len(b.ghosts) > 0 && parseStreamID(b.ghosts[0]).compare(below) < 0 {
		b.do("XADD", b.name, b.ghosts[0], "", "")
		b.deleted = append(b.deleted, b.ghosts[0])
		b.ghosts = b.ghosts[1:]
	}
}

func (b *builder) endStream() {
	if !b.begun {
		b.begin()
	}
	b.haunt(streamID{^uint64(0), ^uint64(0)})
	for _, g := range b.groups {
		b.makeGroup(g)
	}
	// Those in front of all entries may have been trimmed, which leaves no trace in the stream's
	// largest deleted id, unlike XDEL.
	switch {
	case b.first == "" && len(b.deleted) > 0:
		b.do("XTRIM", b.name, "MAXLEN", "0")
		b.deleted = nil
	case len(b.deleted) > 0:
		b.do("XTRIM", b.name, "MINID", b.first)
	}
	for _, id := range b.deleted {
		if parseStreamID(id).compare(parseStreamID(b.first)) > 0 {
			b.do("XDEL", b.name, id)
		}
	}
	args := []string{"XSETID", b.name, textOf(b.about["last-generated-id"])}
	if n, ok := b.about["entries-added"].(int64); ok {
		args = append(args, "ENTRIESADDED", decimal(n), "MAXDELETEDID",
			cmp.Or(textOf(b.about["max-deleted-entry-id"]), "0-0"))
	}
	b.do(args...)
}

func (b *builder) makeGroup(g streamGroup) {
	name := textOf(g.meta["name"])
	args := []string{"XGROUP", "CREATE", b.name, name, textOf(g.meta["last-delivered-id"])}
	if n, ok := g.meta["entries-read"].(int64); ok {
		args = append(args, "ENTRIESREAD", decimal(n))
	}
	b.do(args...)
	for _, c := range g.consumers {
		b.do("XGROUP", "CREATECONSUMER", b.name, name, c)
	}
	for _, p := range g.pending {
		b.do("XCLAIM", b.name, name, p.consumer, "0", p.id, "TIME", decimal(p.at),
			"RETRYCOUNT", decimal(p.n), "FORCE", "JUSTID")
	}
}
