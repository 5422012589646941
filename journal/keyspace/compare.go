package keyspace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
)

// SmallBytes is the largest value that is read and written as a whole, as MEMORY USAGE has it.
const SmallBytes = 256 << 10

// maxTries bounds the reads of a key that changes meanwhile.
const maxTries = 5

// job is a key on its way.
type job struct {
	Comparison
	source, target side
	action         Action
	asked          bool       // Decide was called for it
	built          [][]string // commands that make the target's key, if RESTORE cannot
	temp           string     // temporary name of a large value; "": none
	fault          error      // why the value cannot be written
	base           *Print     // the key's state where the histories part; nil: not wanted
	expected       *print     // the state that the target's key must still have; nil: any
	verified       bool       // after it was written
	done           bool       // its result was reported
}

// side is a key on one server.
type side struct {
	State
	usage   int64  // MEMORY USAGE; -1: not known
	payload string // DUMP; "": not taken
	sum     digest
	summed  bool
	err     error // why a part of it is unknown
}

// small reports whether a value can be read as a whole.
func (s *side) small() bool { return s.usage >= 0 && s.usage <= SmallBytes }

// print is a target key's state when it was compared.
type print struct {
	State
	payload, sum digest
}

func (s *side) print() print {
	return print{s.State, sha256.Sum256([]byte(s.payload)), s.sum}
}

// recognisable reports whether a print distinguishes values.
func (s *side) recognisable() bool { return !s.Exists || s.payload != "" || s.summed }

// open begins to watch the keys of jobs and reads their state.
func (y *syncing) open(jobs []*job) error {
	db := jobs[0].Key.DB
	both := []*Server{y.Source, y.Target}
	var selected [2]func() (ReplyError, error)
	for i, s := range both {
		selected[i] = s.use(db)
		for _, j := range jobs {
			s.look(j.Key.Name)
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
	for i, s := range both {
		no, err := selected[i]()
		if err != nil {
			return err
		}
		for _, j := range jobs {
			side := &j.source
			if i == 1 {
				side = &j.target
			}
			if err := side.take(s); err != nil {
				return err
			}
			if no != "" { // a database that the server does not have, or not for us
				*side = side0(no)
			}
		}
	}
	return nil
}

// look sends the requests whose replies take reads.
func (s *Server) look(name string) {
	s.put("WATCH", name)
	s.put("TYPE", name)
	s.put("PEXPIRETIME", name)
	s.put("MEMORY", "USAGE", name)
}

func side0(err error) side { return side{usage: -1, err: err} }

// take reads the replies to open's requests.
func (s *side) take(server *Server) error {
	var v [4]any
	*s = side{usage: -1}
	for i := range v {
		var no ReplyError
		var err error
		if v[i], no, err = server.reply(); err != nil {
			return err
		}
		if no != "" && i < 3 && s.err == nil { // MEMORY USAGE may be refused
			s.err = no
		}
	}
	if t := textOf(v[1]); t != "none" {
		s.Exists, s.Type = true, t
		s.Deadline = max(0, countOf(v[2]))
	}
	if n, ok := v[3].(int64); ok {
		s.usage = n
	}
	return nil
}

// expire marks a key as missing if its deadline has passed by either clock.
func (y *syncing) expire(s *side) {
	if s.Deadline > 0 && s.Deadline <= max(y.Source.now(), y.Target.now()) {
		s.State = State{}
	}
}

// compare fills in the comparison of each job, except for the values.
func (y *syncing) relate(j *job) (values bool) {
	y.expire(&j.source)
	y.expire(&j.target)
	c := &j.Comparison
	c.Source, c.Target = j.source.State, j.target.State
	c.What, c.Err = "", nil
	switch {
	case j.source.err != nil:
		c.Relation, c.Err = Unknown, y.Source.refused(j.source.err)
	case j.target.err != nil:
		c.Relation, c.Err = Unknown, y.Target.refused(j.target.err)
	case !c.Source.Exists && !c.Target.Exists:
		c.Relation = Same
	case !c.Target.Exists:
		c.Relation = Missing
	case !c.Source.Exists:
		c.Relation = Extra
	case c.Source.Type != c.Target.Type:
		c.Relation, c.What = Differs, "type"
	default:
		return true
	}
	return false
}

// dump takes the useful DUMPs of the jobs, some at a time: a server answers the commands of one request
// before it turns to other clients.
func (y *syncing) dump(s *Server, jobs []*job, of func(*job) *side) error {
	var asked []*side
	bytes := int64(0)
	for _, j := range jobs {
		side := of(j)
		if s.features.noDump || !side.Exists || !side.small() || side.err != nil {
			continue
		}
		if bytes+side.usage > pieceBytes {
			if err := s.dumped(asked); err != nil {
				return err
			}
			asked, bytes = asked[:0], 0
		}
		s.put("DUMP", j.Key.Name)
		asked, bytes = append(asked, side), bytes+side.usage
	}
	return s.dumped(asked)
}

// dumped sends queued DUMPs and reads their replies.
func (s *Server) dumped(asked []*side) error {
	if err := s.flush(); err != nil {
		return err
	}
	for _, side := range asked {
		v, no, err := s.reply()
		if err != nil {
			return err
		}
		if no.Code() == "NOPERM" || no.Code() == "ERR" {
			s.features.noDump = true
		}
		side.payload = textOf(v)
		if n := len(side.payload); n > 10 {
			s.features.dump = int(side.payload[n-10]) | int(side.payload[n-9])<<8
		}
	}
	return nil
}

// settle compares the values of jobs: by their DUMPs, then by type.
func (y *syncing) settle(jobs []*job) error {
	var open []*job
	for _, j := range jobs {
		if j.source.payload != "" && j.source.payload == j.target.payload {
			y.equal(j)
			continue
		}
		open = append(open, j)
	}
	if len(open) == 0 {
		return nil
	}
	if err := y.sums(y.Source, open, sourceOf); err != nil {
		return err
	}
	if err := y.sums(y.Target, open, targetOf); err != nil {
		return err
	}
	for _, j := range open {
		switch {
		case j.source.err != nil:
			j.Relation, j.Err = Unknown, y.Source.refused(j.source.err)
		case j.target.err != nil:
			j.Relation, j.Err = Unknown, y.Target.refused(j.target.err)
		case j.source.sum == j.target.sum:
			y.equal(j)
		case !native(j.Source.Type):
			j.Relation, j.Err = Unknown, fmt.Errorf("%w (%s)", errNoReads, j.Source.Type)
		default:
			j.Relation, j.What = Differs, "value"
		}
	}
	return nil
}

// equal marks a job whose values are the same.
func (y *syncing) equal(j *job) {
	j.Relation = Same
	if j.Source.Deadline != j.Target.Deadline {
		j.Relation, j.What = Differs, "deadline"
	}
}

func sourceOf(j *job) *side { return &j.source }
func targetOf(j *job) *side { return &j.target }

// sums reads the values of one side by their type.
func (y *syncing) sums(s *Server, jobs []*job, of func(*job) *side) error {
	type one struct {
		walk walk
		sink *digestSink
		side *side
	}
	var all []one
	from := values{server: s, keep: maxKept}
	for _, j := range jobs {
		side := of(j)
		sink := newDigestSink(side.Type)
		side.err = nil
		all = append(all, one{from.walk(j.Key.Name, side.Type, side.usage, sink), sink, side})
	}
	for len(all) > 0 {
		if err := y.Pace.wait(y.ctx, 0); err != nil {
			return err
		}
		stop, err := within(y.ctx, s)
		if err != nil {
			return err
		}
		n, bytes := 0, int64(0)
		for n == 0 || n < len(all) && bytes+all[n].side.usage <= pieceBytes { // as for dump
			all[n].walk.ask(s)
			bytes += all[n].side.usage
			n++
		}
		err = s.flush()
		rest := all[:0]
		for _, o := range all[:n] {
			if err != nil {
				break
			}
			var done bool
			var refused error
			done, refused, err = o.walk.take(s)
			o.side.err = refused
			switch {
			case done:
				o.side.sum, o.side.summed = o.sink.sum(), true
			case refused == nil:
				rest = append(rest, o)
			}
		}
		stop()
		if err != nil {
			return err
		}
		all = append(rest, all[n:]...)
	}
	return nil
}

// refused names the server that refused a read.
func (s *Server) refused(err error) error { return &RefusedError{s.endpoint.Address, err} }

// RefusedError is the reason that a key could not be compared or written.
type RefusedError struct {
	Address string
	Err     error // a [ReplyError], or words of ours
}

// Error implements error.
func (e *RefusedError) Error() string {
	var reply ReplyError
	if errors.As(e.Err, &reply) {
		return e.Address + " answers: " + e.Err.Error()
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// compare does everything before the check that no key has changed.
func (y *syncing) compare(jobs []*job) error {
	stop, err := within(y.ctx, y.Source, y.Target)
	if err != nil {
		return err
	}
	err = y.open(jobs)
	stop()
	if err != nil {
		return err
	}
	var both []*job
	for _, j := range jobs {
		if y.relate(j) {
			both = append(both, j)
		}
	}
	if err := y.dumps(jobs, both); err != nil {
		return err
	}
	if err := y.settle(both); err != nil || y.Base == nil {
		return err
	}
	for _, j := range jobs {
		base := y.Base(j.Key)
		j.base = &base
	}
	err = y.since(y.Source, jobs, sourceOf, func(j *job) *Relation { return &j.SourceSince })
	if err != nil {
		return err
	}
	return y.since(y.Target, jobs, targetOf, func(j *job) *Relation { return &j.TargetSince })
}

// dumps takes the DUMPs that are needed: of both sides where they may be equal, of the target's
// keys that may be written, to recognize them later, and of the source's that may be restored.
func (y *syncing) dumps(jobs, both []*job) error {
	stop, err := within(y.ctx, y.Source, y.Target)
	if err != nil {
		return err
	}
	defer stop()
	a, b := y.Source.features.dump, y.Target.features.dump
	need := jobs
	if y.Decide == nil && y.Base == nil {
		need = both
		if a != 0 && b != 0 && a != b {
			return nil
		}
	}
	if err := y.dump(y.Source, need, sourceOf); err != nil {
		return err
	}
	return y.dump(y.Target, need, targetOf)
}

// verify ends the watching of a server, and reports whether a key has changed.
func verify(ctx context.Context, s *Server) (moved bool, refused error, err error) {
	stop, err := within(ctx, s)
	if err != nil {
		return false, nil, err
	}
	defer stop()
	s.put("MULTI")
	s.put("EXEC")
	if err := s.flush(); err != nil {
		return false, nil, err
	}
	_, no1, err := s.reply()
	if err != nil {
		return false, nil, err
	}
	v, no2, err := s.reply()
	if err != nil || no1 != "" || no2 != "" {
		return false, refusal(cmp.Or(no1, no2)), err
	}
	return v == nil, nil, nil
}
