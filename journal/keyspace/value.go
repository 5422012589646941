package keyspace

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// A sink takes a value in pieces, in the order of its type: a string's text, a list's and a sorted
// set's items, and a stream's parts come in order; a set's and a hash's come in any order, and an
// item may come twice (see SCAN).
type sink interface {
	text(part string)                                  // a string's next bytes
	item(parts ...any)                                 // an element; member, score; field, value, deadline
	stream(meta map[string]any)                        // XINFO STREAM, before its groups and entries
	group(meta map[string]any)                         // XINFO GROUPS, by name
	consumer(group, name string)                       // by group and name
	pending(group, id, consumer string, n, idle int64) // by group and id
	entry(id string, fields []any)
}

// A sizer is a sink that wants a large string's length before its text.
type sizer interface{ length(n int64) }

// A walk reads one value. Its steps are requests with their replies, so that the steps of many
// walks can go to a server at once.
type walk interface {
	ask(s *Server)
	// take reads all replies to the last request; done says that there is nothing more.
	take(s *Server) (done bool, refused error, err error)
}

// pieceBytes is the approximate size of one request's part of a value.
const pieceBytes = 256 << 10

// maxWindow bounds the items of one request.
const maxWindow = 512

// errNoReads is why a value cannot be read by its type.
var errNoReads = errors.New("values of this type can be compared by DUMP only, and the two differ")

// errMoved says that a key changed while it was read.
var errMoved = errors.New("it changes while it is read")

// values makes walks over the values of one side.
type values struct {
	server *Server
	keep   int64 // longer strings come as sums; only for digests
}

// walk begins to read a value. usage is the server's own figure of its size; -1: not known.
func (v values) walk(key, typ string, usage int64, to sink) walk {
	base := walking{key: key, keep: v.keep, window: 16, to: to}
	switch {
	case usage >= 0 && usage <= pieceBytes:
		base.window = maxWindow
	case usage >= 0: // the size of an item is not known yet
		base.window = 1
	}
	switch typ {
	case "string":
		w := &textWalk{walking: base}
		if usage < 0 || usage > pieceBytes {
			w.sizer, _ = to.(sizer)
		}
		return w
	case "list":
		return &rangeWalk{walking: base, command: "LRANGE"}
	case "zset":
		return &rangeWalk{walking: base, command: "ZRANGE"}
	case "set":
		return &scanWalk{walking: base, command: "SSCAN", size: "SCARD"}
	case "hash":
		return &scanWalk{walking: base, command: "HSCAN", size: "HLEN",
			deadlines: v.server.features.fieldDeadlines}
	case "stream":
		return &streamWalk{walking: base}
	}
	return &dumpWalk{walking: base}
}

// native reports whether values of a type have reads of their own. For others only equal DUMPs are
// proof.
func native(typ string) bool {
	switch typ {
	case "string", "list", "zset", "set", "hash", "stream":
		return true
	}
	return false
}

// dumpWalk reads a value by its DUMP.
type dumpWalk struct{ walking }

func (w *dumpWalk) ask(s *Server) { s.put("DUMP", w.key) }

func (w *dumpWalk) take(s *Server) (done bool, refused, err error) {
	v, no, err := s.read(w.keep)
	if err != nil || no != "" {
		return false, refusal(no), err
	}
	w.to.item(v)
	return true, nil, nil
}

// walking is the common part of all walks.
type walking struct {
	key    string
	keep   int64
	window int // items per request
	to     sink
}

// adapt changes the size of the next window, after one of so many bytes.
func (w *walking) adapt(bytes int64, items int) {
	if items == 0 {
		return
	}
	each := bytes/int64(items) + 1
	w.window = int(max(1, min(maxWindow, pieceBytes/each)))
}

// sizeOf is the size of a reply in bytes.
func sizeOf(v any) (n int64) {
	switch v := v.(type) {
	case string:
		return int64(len(v)) + 16
	case sum:
		return v.size
	case []any:
		for _, one := range v {
			n += sizeOf(one)
		}
	}
	return n + 16
}

// textWalk reads a string.
type textWalk struct {
	walking
	sizer  sizer // nil: it wants no length, or has it
	offset int64
}

func (w *textWalk) ask(s *Server) {
	if w.sizer != nil {
		s.put("STRLEN", w.key)
	}
	s.put("GETRANGE", w.key, decimal(w.offset), decimal(w.offset+pieceBytes-1))
}

func (w *textWalk) take(s *Server) (done bool, refused, err error) {
	if w.sizer != nil {
		n, no, err := s.reply()
		if err != nil {
			return false, nil, err
		}
		if no == "" { // else the value grows piece by piece
			w.sizer.length(countOf(n))
		}
		w.sizer = nil
	}
	v, no, err := s.reply()
	if err != nil || no != "" {
		return false, refusal(no), err
	}
	part := textOf(v)
	w.to.text(part)
	w.offset += int64(len(part))
	return len(part) < pieceBytes, nil, nil
}

// rangeWalk reads types that are ordered by rank.
type rangeWalk struct {
	walking
	command string
	rank    int64
}

func (w *rangeWalk) ask(s *Server) {
	args := []string{w.command, w.key, decimal(w.rank), decimal(w.rank + int64(w.window) - 1)}
	if w.command == "ZRANGE" {
		args = append(args, "WITHSCORES")
	}
	s.put(args...)
}

func (w *rangeWalk) take(s *Server) (done bool, refused, err error) {
	v, no, err := s.read(w.keep)
	if err != nil || no != "" {
		return false, refusal(no), err
	}
	all, n := listOf(v), 0
	if w.command == "LRANGE" {
		for _, one := range all {
			w.to.item(one)
		}
		n = len(all)
	} else {
		for i := 0; i+1 < len(all); i += 2 {
			w.to.item(all[i], textOf(all[i+1]))
		}
		n = len(all) / 2
	}
	w.rank += int64(n)
	done = n < w.window
	w.adapt(sizeOf(v), n)
	return done, nil, nil
}

// scanWalk reads unordered types. Scans may give an item twice, but no item that stays is left out;
// so a count equal to the server's proves that none came twice.
type scanWalk struct {
	walking
	command, size string
	deadlines     bool // ask for field deadlines, too

	cursor  string
	counted bool  // the server was asked for its count
	seen    int64 // items, less the server's count
	held    []any // fields and values whose deadlines are requested
}

func (w *scanWalk) ask(s *Server) {
	if len(w.held) > 0 {
		args := []string{"HPEXPIRETIME", w.key, "FIELDS", strconv.Itoa(len(w.held) / 2)}
		for i := 0; i < len(w.held); i += 2 {
			args = append(args, textOf(w.held[i]))
		}
		s.put(args...)
		return
	}
	if !w.counted {
		w.cursor = "0"
		s.put(w.size, w.key)
	}
	s.put(w.command, w.key, w.cursor, "COUNT", strconv.Itoa(w.window))
}

func (w *scanWalk) take(s *Server) (done bool, refused, err error) {
	if len(w.held) > 0 {
		return w.takeDeadlines(s)
	}
	var size any
	var no1 ReplyError
	if !w.counted {
		if size, no1, err = s.reply(); err != nil {
			return false, nil, err
		}
		w.counted, w.seen = true, -countOf(size)
	}
	v, no2, err := s.read(w.keep)
	if err != nil || no1 != "" || no2 != "" {
		return false, refusal(cmp.Or(no1, no2)), err
	}
	reply := listOf(v)
	if len(reply) != 2 {
		return false, errors.New(w.command + " replied something else"), nil
	}
	w.cursor = textOf(reply[0])
	return w.takeItems(listOf(reply[1]))
}

func (w *scanWalk) takeItems(all []any) (done bool, refused, err error) {
	n := len(all)
	if w.command == "HSCAN" {
		n /= 2
	}
	w.seen += int64(n)
	w.adapt(sizeOf(all), n)
	switch {
	case w.command == "SSCAN":
		for _, one := range all {
			w.to.item(one)
		}
	case w.deadlines && n > 0:
		for i := 0; i < len(all); i += 2 {
			if _, ok := all[i].(string); !ok {
				return false, fmt.Errorf("a field's name has more than %d bytes", maxKept), nil
			}
		}
		w.held = all
		return false, nil, nil
	default:
		for i := 0; i+1 < len(all); i += 2 {
			w.to.item(all[i], all[i+1], int64(0))
		}
	}
	return w.end()
}

// end ends the walk with the scan.
func (w *scanWalk) end() (done bool, refused, err error) {
	if w.cursor != "0" {
		return false, nil, nil
	}
	if w.seen > 0 { // fewer are no fault: HLEN counts expired fields
		return false, errTwice, nil
	}
	return true, nil, nil
}

// errTwice says that a scan gave an item twice. The next one may not.
var errTwice = errors.New("the server's scan gives items twice")

func (w *scanWalk) takeDeadlines(s *Server) (done bool, refused, err error) {
	v, no, err := s.reply()
	if err != nil || no != "" {
		return false, refusal(no), err
	}
	at, held := listOf(v), w.held
	w.held = nil
	if len(at) != len(held)/2 {
		return false, errMoved, nil
	}
	for i, one := range at {
		switch ms := countOf(one); ms {
		case -2: // gone meanwhile
		case -1:
			w.to.item(held[2*i], held[2*i+1], int64(0))
		default:
			w.to.item(held[2*i], held[2*i+1], ms)
		}
	}
	return w.end()
}

// digestSink makes a digest of a value.
type digestSink struct {
	inOrder *ordered
	any     unordered
	loose   bool // the order is arbitrary
	zset    bool
}

func newDigestSink(typ string) *digestSink {
	return &digestSink{inOrder: newOrdered(), loose: typ == "set" || typ == "hash",
		zset: typ == "zset"}
}

func (d *digestSink) sum() digest {
	if d.loose {
		return d.any.sum()
	}
	return d.inOrder.sum()
}

func (d *digestSink) text(part string) { d.inOrder.hash.Write([]byte(part)) }

func (d *digestSink) item(parts ...any) {
	switch {
	case d.loose:
		d.any.add(parts...)
	case d.zset:
		d.inOrder.add(parts[0], scoreBits(textOf(parts[1])))
	default:
		d.inOrder.add(parts...)
	}
}

// scoreBits parses a score, which servers of different versions format with different digits.
func scoreBits(text string) int64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil { // out of range, which servers do not produce
		return math.MinInt64
	}
	return int64(math.Float64bits(f))
}

func (d *digestSink) stream(m map[string]any) {
	d.inOrder.add("stream", m["last-generated-id"], m["max-deleted-entry-id"], m["entries-added"])
}

func (d *digestSink) group(m map[string]any) {
	d.inOrder.add("group", m["name"], m["last-delivered-id"], m["entries-read"])
}

func (d *digestSink) consumer(group, name string) { d.inOrder.add("consumer", group, name) }

func (d *digestSink) pending(group, id, consumer string, n, _ int64) {
	d.inOrder.add("pending", group, id, consumer, n)
}

func (d *digestSink) entry(id string, fields []any) { d.inOrder.add("entry", id, fields) }

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// refusal makes an error of a reply.
func refusal(reply ReplyError) error {
	if reply == "" {
		return nil
	}
	return reply
}
