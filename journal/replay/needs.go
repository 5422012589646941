package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"holdfast/journal"
	"holdfast/journal/rdb"
	"holdfast/journal/stream"
)

// Needs are a plan's demands on the server that it is replayed to.
type Needs struct {
	Format   *rdb.Header     // of the base
	Contents *rdb.Contents   // of the base; nil: this version cannot read it
	Why      error           // the reason for a nil Contents
	MaxDB    int             // the highest database in the base and in the stream
	Commands map[string]int  // names in the stream, in capitals, and how often
	Options  map[string]bool // "SET KEEPTTL": options in the stream, in capitals

	seen map[string]*seenCommand // the same, in their original spelling
}

func newNeeds() *Needs {
	return &Needs{Commands: make(map[string]int), Options: make(map[string]bool),
		seen: make(map[string]*seenCommand)}
}

// clone copies needs, so that commands can be added.
func (n *Needs) clone() *Needs {
	out := *n
	out.Commands, out.Options = maps.Clone(n.Commands), maps.Clone(n.Options)
	out.seen = make(map[string]*seenCommand)
	return &out
}

// Names lists the commands in order.
func (n *Needs) Names() []string {
	return sortedKeys(n.Commands)
}

// readBase reads a base from its beginning to its end. ErrBase says that it has changed since it
// was written: the journal knows the checksum of each, taken when the server's own CRC64 was right.
// The structure is checked on the way.
func readBase(ctx context.Context, view *journal.View, b journal.Base) (*Needs, error) {
	file, err := view.OpenBase(b)
	if err != nil {
		return nil, err
	}
	defer file.Close() // read-only
	head := &headKeeper{r: &reading{ctx, file}}
	n := newNeeds()
	n.Contents, n.Why = rdb.Walk(head)
	if _, err := io.Copy(io.Discard, head); err != nil {
		return nil, err
	}
	if n.Why != nil {
		n.Contents = nil // the findings up to there are void
	} else {
		for db := range n.Contents.Keys {
			n.MaxDB = max(n.MaxDB, db)
		}
	}
	n.Format, err = rdb.ReadHeader(strings.NewReader(string(head.kept)))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", journal.ErrBase, b.File, err)
	}
	return n, nil
}

// reading ends a reader with its context.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r *reading) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// headKeeper keeps the first bytes that are read through it.
type headKeeper struct {
	r    io.Reader
	kept []byte
}

func (h *headKeeper) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	if room := rdb.HeadBytes - len(h.kept); room > 0 {
		h.kept = append(h.kept, b[:min(room, n)]...)
	}
	return n, err
}

// soundBase finds the newest intact base that leads to an offset, and lists the broken ones. If all
// of them are broken, the error is that of the newest.
func soundBase(ctx context.Context, view *journal.View, tl journal.TimelineID, offset int64) (
	b journal.Base, n *Needs, broken []BrokenBase, err error,
) {
	bases, err := view.BasesFor(tl, offset)
	if err != nil {
		return b, nil, nil, err
	}
	for _, b := range bases {
		n, err := readBase(ctx, view, b)
		if err == nil {
			return b, n, broken, nil
		}
		if !errors.Is(err, journal.ErrBase) && !errors.Is(err, journal.ErrPruned) {
			return b, nil, broken, err
		}
		broken = append(broken, BrokenBase{b, err})
	}
	return b, nil, broken, fmt.Errorf("%w: %d lead to offset %d, and none can be used: %w",
		journal.ErrNoBase, len(bases), offset, broken[0].Err)
}

// note records a command of the stream.
func (n *Needs) note(c *stream.Command) {
	if len(c.Args) == 0 {
		return
	}
	s, ok := n.seen[string(c.Args[0])] // allocates nothing
	if !ok {
		s = newSeenCommand(string(c.Args[0]))
		n.seen[s.name] = s
	}
	s.count++
	if s.rule != nil && len(c.Args) > s.rule.from {
		s.noteOptions(c)
	}
	for _, i := range databaseArgs(c) {
		if db, err := strconv.Atoi(string(c.Args[i])); err == nil {
			n.MaxDB = max(n.MaxDB, db)
		}
	}
}

// databaseArgs are the arguments of a command that name databases.
func databaseArgs(c *stream.Command) []int {
	switch len(c.Args) {
	case 2:
		if c.Is("SELECT") {
			return []int{1}
		}
	case 3:
		if c.Is("SWAPDB") {
			return []int{1, 2}
		}
		if c.Is("MOVE") {
			return []int{2}
		}
	case 5, 6:
		if !c.Is("COPY") {
			return nil
		}
		for i := 3; i+1 < len(c.Args); i++ {
			if strings.EqualFold(string(c.Args[i]), "DB") {
				return []int{i + 1}
			}
		}
	}
	return nil
}

// fold normalizes the names' spelling.
func (n *Needs) fold() {
	for _, s := range n.seen {
		name := strings.ToUpper(s.name)
		n.Commands[name] += s.count
		for _, word := range s.words {
			if word.ends {
				continue
			}
			n.Options[name+" "+word.text] = true
		}
	}
	n.seen = nil
}
