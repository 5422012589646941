package keyspace

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"iter"
)

// Print is a key's state on a server at some moment, and its value as digests that mean the same on
// every server. The zero value is a missing key.
type Print struct {
	State
	payload digest // of its DUMP; zero: not taken
	sum     digest // of its type's reads; zero: none
	// Err is why the value is unknown.
	Err error
}

// Prints takes the prints of keys, in the order of the iterator, and calls report once for each. The
// keys must not change meanwhile: it is for a server that no client uses.
func Prints(ctx context.Context, s *Server, keys iter.Seq2[Key, error],
	report func(Key, Print) error) error {
	y := &syncing{Options: Options{Source: s, Target: s}, ctx: ctx}
	var batch []*job
	flush := func() error {
		err := y.prints(batch, report)
		batch = batch[:0]
		return err
	}
	for key, err := range keys {
		if err == nil && len(batch) > 0 && (batch[0].Key.DB != key.DB || len(batch) == batchKeys) {
			err = flush()
		}
		if err != nil {
			return err
		}
		batch = append(batch, &job{Comparison: Comparison{Key: key}})
	}
	if len(batch) == 0 {
		return ctx.Err()
	}
	return flush()
}

// prints takes those of keys of one database.
func (y *syncing) prints(jobs []*job, report func(Key, Print) error) error {
	s := y.Source
	stop, err := within(y.ctx, s)
	if err != nil {
		return err
	}
	defer stop()
	selected := s.use(jobs[0].Key.DB)
	for _, j := range jobs {
		s.look(j.Key.Name)
	}
	if err := s.flush(); err != nil {
		return err
	}
	no, err := selected()
	if err != nil {
		return err
	}
	var there []*job
	for _, j := range jobs {
		if err := j.source.take(s); err != nil {
			return err
		}
		if no != "" {
			j.source = side0(no)
		}
		if y.expire(&j.source); j.source.Exists && j.source.err == nil {
			there = append(there, j)
		}
	}
	if err := y.dump(s, there, sourceOf); err != nil {
		return err
	}
	if err := y.sums(s, there, sourceOf); err != nil {
		return err
	}
	if _, _, err := s.do("UNWATCH"); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := report(j.Key, j.source.taken()); err != nil {
			return err
		}
	}
	return nil
}

// taken is the print of the state and value just read.
func (s *side) taken() Print {
	p := Print{State: s.State, Err: s.err}
	if s.payload != "" {
		p.payload = sha256.Sum256([]byte(s.payload))
	}
	if s.summed {
		p.sum = s.sum
	}
	return p
}

// since compares a side with its base, for jobs whose base is given. It reads the values where
// DUMPs do not prove that they are equal.
func (y *syncing) since(s *Server, jobs []*job, of func(*job) *side, to func(*job) *Relation) error {
	var open []*job
	for _, j := range jobs {
		side := of(j)
		if *to(j) = y.against(side, j.base); *to(j) == Unknown && side.err == nil &&
			j.base.Err == nil && j.base.sum != (digest{}) {
			open = append(open, j)
		}
	}
	var unread []*job
	for _, j := range open {
		if !of(j).summed {
			unread = append(unread, j)
		}
	}
	if len(unread) > 0 {
		if err := y.sums(s, unread, of); err != nil {
			return err
		}
	}
	for _, j := range open {
		side := of(j)
		switch {
		case side.err != nil:
			side.err = nil // that concerns this comparison alone
		case side.sum == j.base.sum:
			*to(j) = Same
		case !native(side.Type): // equal values may have different DUMPs
		default:
			*to(j) = Differs
		}
	}
	return nil
}

// against compares a side with a print as far as possible without further reads; Unknown: the
// values must be compared.
func (y *syncing) against(s *side, p *Print) Relation {
	was := p.State
	if was.Deadline > 0 && was.Deadline <= max(y.Source.now(), y.Target.now()) {
		was = State{}
	}
	switch {
	case s.err != nil && !s.Exists:
		return Unknown
	case !was.Exists && !s.Exists:
		return Same
	case !was.Exists:
		return Extra
	case !s.Exists:
		return Missing
	case was.Type != s.Type || was.Deadline != s.Deadline:
		return Differs
	case s.payload != "" && p.payload == sha256.Sum256([]byte(s.payload)):
		return Same
	}
	return Unknown
}

// Append appends an encoding of the print for ReadPrint.
func (p *Print) Append(b []byte) []byte {
	text := ""
	if p.Err != nil {
		text = p.Err.Error()
	}
	b = appendText(appendText(b, p.Type), text)
	exists := int64(0)
	if p.Exists {
		exists = 1
	}
	b = binary.AppendVarint(binary.AppendVarint(b, exists), p.Deadline)
	return append(append(b, p.payload[:]...), p.sum[:]...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errPrint means that bytes are no print.
var errPrint = errors.New("not a print of a key")

// ReadPrint decodes a print, and returns the bytes behind it.
func ReadPrint(b []byte) (p Print, rest []byte, err error) {
	var text string
	p.Type, b, err = readText(b)
	if err == nil {
		text, b, err = readText(b)
	}
	if err != nil {
		return p, nil, err
	}
	if text != "" {
		p.Err = errors.New(text)
	}
	exists, n := binary.Varint(b)
	deadline, m := binary.Varint(b[max(n, 0):])
	b = b[max(n, 0)+max(m, 0):]
	if n <= 0 || m <= 0 || len(b) < 2*len(p.sum) {
		return p, nil, errPrint
	}
	p.Exists, p.Deadline = exists == 1, deadline
	copy(p.payload[:], b)
	copy(p.sum[:], b[len(p.payload):])
	return p, b[2*len(p.sum):], nil
}

func readText(b []byte) (string, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, errPrint
	}
	return string(b[size : size+int(n)]), b[size+int(n):], nil
}
