package stream

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// TxState is a command's place in a transaction.
type TxState uint8

// The states of a command.
const (
	TxNone   TxState = iota // outside of any transaction
	TxBegin                 // MULTI
	TxInside                // between MULTI and EXEC
	TxEnd                   // EXEC or DISCARD
)

// Command is one command of the stream.
type Command struct {
	Start, End int64     // replication offsets: the command is [Start, End)
	Time       time.Time // of the piece that held its first byte
	DB         int       // the database that it runs in; for a SELECT the one before; -1: unknown
	// Args are valid until the callback returns. A bare newline has none. An argument longer than
	// Options.MaxArg is cut to it, and Cut is set.
	Args [][]byte
	Cut  bool
	Tx   TxState
}

// Is compares the command's name, without regard to case.
func (c *Command) Is(name string) bool {
	return len(c.Args) > 0 && len(c.Args[0]) == len(name) &&
		bytes.EqualFold(c.Args[0], []byte(name))
}

// SwapsNothing reports whether the command is SWAPDB of a database with itself. Proxies send it for
// WAIT.
func (c *Command) SwapsNothing() bool {
	return c.Is("SWAPDB") && len(c.Args) == 3 && bytes.Equal(c.Args[1], c.Args[2])
}

// Options describe the start of a stream.
type Options struct {
	Offset int64 // of the first byte for Feed; a boundary
	DB     int   // selected there: Base.DB; -1: unknown
	MaxArg int   // bytes kept of an argument; 0 is 64 KiB
}

// Limits of the grammar, as the server has them for a client that is its primary.
const (
	maxArgs       = 1<<31 - 1
	maxBulk       = 1<<63 - 1
	maxLine       = 64 << 10
	defaultMaxArg = 64 << 10
	// KeepArgs bounds the arguments kept of one command; the rest only count.
	KeepArgs = 1 << 16
)

// SyntaxError says that the bytes are no stream.
type SyntaxError struct {
	Offset int64 // of the byte
	Why    string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("replication stream at offset %d: %s", e.Offset, e.Why)
}

// Scanner takes a stream in pieces, however it was split, and yields its commands. Its memory does
// not depend on the size of the arguments.
type Scanner struct {
	offset int64 // of the next byte
	db     int
	maxArg int
	err    error

	boundary   int64
	boundaryDB int
	inTx       bool

	cmd   Command
	store []byte  // the kept bytes of the arguments, one behind the other
	ends  []int   // in store
	line  []byte  // of an incomplete line
	args  int     // still to come
	bulk  int64   // bytes still to come of an argument, with CR LF
	size  int64   // of that argument, without
	tail  [2]byte // what stands where CR LF should
	read  func(*Scanner, []byte) (int, error)
	emit  bool     // the command is complete
	slots [][]byte // memory of cmd.Args
}

// NewScanner makes a scanner that stands at a boundary.
func NewScanner(o Options) *Scanner {
	if o.MaxArg <= 0 {
		o.MaxArg = defaultMaxArg
	}
	return &Scanner{offset: o.Offset, db: o.DB, maxArg: o.MaxArg, boundary: o.Offset,
		boundaryDB: o.DB, read: (*Scanner).readStart}
}

// Offset is that of the next byte.
func (s *Scanner) Offset() int64 { return s.offset }

// Boundary is the last offset at which the stream may be cut: behind a command, and not within a
// transaction. db is the database selected there.
func (s *Scanner) Boundary() (offset int64, db int) { return s.boundary, s.boundaryDB }

// Between reports that the next byte begins a command.
func (s *Scanner) Between() bool { return s.atStart() }

// Feed takes the next bytes, which arrived at t, and calls fn for each command that they complete.
// An error of fn ends the call; the bytes behind that command are not consumed: Offset says where
// to continue. A *SyntaxError is permanent.
func (s *Scanner) Feed(t time.Time, p []byte, fn func(*Command) error) error {
	for len(p) > 0 && s.err == nil {
		if s.atStart() {
			s.begin(t)
			if n := s.whole(p); n > 0 {
				s.offset += int64(n)
				p = p[n:]
				if err := s.deliver(fn); err != nil {
					return err
				}
				continue
			}
		}
		n, err := s.read(s, p)
		s.offset += int64(n)
		p = p[n:]
		if err != nil {
			s.err = err
			break
		}
		if s.emit {
			s.emit = false
			if err := s.finish(fn); err != nil {
				return err
			}
		}
	}
	return s.err
}

// begin resets the command. It resets only fields that a command sets: most are short, and many.
func (s *Scanner) begin(t time.Time) {
	c := &s.cmd
	c.Start, c.Time, c.DB, c.Cut, c.Tx = s.offset, t, s.db, false, TxNone
}

func (s *Scanner) atStart() bool {
	return s.args == 0 && s.bulk == 0 && len(s.line) == 0
}

// readStart reads the first line of a command.
func (s *Scanner) readStart(p []byte) (int, error) {
	line, n, err := s.readLine(p)
	if line == nil {
		return n, err
	}
	defer s.clearLine()
	if len(line) == 0 || line[0] != '*' {
		s.inline(line)
		return n, nil
	}
	count, err := s.number(line[1:], maxArgs)
	if err != nil {
		return n, err
	}
	if count <= 0 {
		s.emit = true // an empty array is no command, as on the server
		return n, nil
	}
	s.args, s.read = int(count), (*Scanner).readBulkHead
	return n, nil
}

// readLine collects a line. It returns nil until the line is complete, then the line without its
// end, valid until clearLine.
func (s *Scanner) readLine(p []byte) ([]byte, int, error) {
	n := bytes.IndexByte(p, '\n')
	part := p
	if n >= 0 {
		part = p[:n]
	}
	if len(s.line)+len(part) > maxLine {
		return nil, 0, s.syntax(fmt.Sprintf("a line of more than %d bytes", maxLine))
	}
	s.line = append(s.line, part...)
	if n < 0 {
		return nil, len(p), nil
	}
	line := bytes.TrimSuffix(s.line, []byte("\r"))
	if line == nil {
		line = []byte{}
	}
	return line, n + 1, nil
}

func (s *Scanner) clearLine() { s.line = s.line[:0] }

func (s *Scanner) number(text []byte, most int64) (int64, error) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n > most {
		return 0, s.syntax(fmt.Sprintf("%.40q is no length", text))
	}
	return n, nil
}

func (s *Scanner) syntax(why string) error { return &SyntaxError{s.offset, why} }

// inline parses a command that is a line of words. Quotes are not parsed: no server sends them to a
// replica.
func (s *Scanner) inline(line []byte) {
	for _, word := range bytes.Fields(line) {
		s.keep(word)
		s.endArg()
	}
	s.emit = true
}

// readBulkHead reads the line before an argument.
func (s *Scanner) readBulkHead(p []byte) (int, error) {
	line, n, err := s.readLine(p)
	if line == nil {
		return n, err
	}
	defer s.clearLine()
	if len(line) == 0 || line[0] != '$' {
		return n, s.syntax(fmt.Sprintf("%.40q where '$' and a length should stand", line))
	}
	size, err := s.number(line[1:], maxBulk-2)
	if err != nil {
		return n, err
	}
	if size < 0 {
		return n, s.syntax("an argument of negative length")
	}
	s.size, s.bulk, s.read = size, size+2, (*Scanner).readBulk
	return n, nil
}

// readBulk reads an argument and the CR LF behind it.
func (s *Scanner) readBulk(p []byte) (int, error) {
	n := int(min(int64(len(p)), s.bulk))
	done := s.size + 2 - s.bulk // bytes of it already read
	if text := s.size - done; text > 0 {
		s.keep(p[:min(int64(n), text)])
	}
	for i := max(0, s.size-done); i < int64(n); i++ {
		s.tail[done+i-s.size] = p[i]
	}
	if s.bulk -= int64(n); s.bulk > 0 {
		return n, nil
	}
	if s.tail != [2]byte{'\r', '\n'} {
		return n, s.syntax(fmt.Sprintf("%q where CR LF should stand", s.tail[:]))
	}
	s.endArg()
	s.read = (*Scanner).readBulkHead
	if s.args--; s.args == 0 {
		s.read, s.emit = (*Scanner).readStart, true
	}
	return n, nil
}

// keep adds the wanted bytes to the current argument.
func (s *Scanner) keep(p []byte) {
	begin := 0
	if len(s.ends) > 0 {
		begin = s.ends[len(s.ends)-1]
	}
	room := s.maxArg - (len(s.store) - begin)
	if len(s.ends) >= KeepArgs {
		room = 0
	}
	if len(p) > room {
		p, s.cmd.Cut = p[:max(0, room)], true
	}
	s.store = append(s.store, p...)
}

func (s *Scanner) endArg() {
	if len(s.ends) < KeepArgs {
		s.ends = append(s.ends, len(s.store))
		return
	}
	s.cmd.Cut = true
}

// finish completes the command, delivers it and prepares for the next.
func (s *Scanner) finish(fn func(*Command) error) error {
	c := &s.cmd
	c.Args = s.slots[:0]
	begin := 0
	for _, end := range s.ends {
		c.Args = append(c.Args, s.store[begin:end:end])
		begin = end
	}
	s.slots = c.Args
	err := s.deliver(fn)
	s.store, s.ends = s.store[:0], s.ends[:0]
	return err
}

// deliver delivers a command whose arguments are complete.
func (s *Scanner) deliver(fn func(*Command) error) error {
	c := &s.cmd
	c.End = s.offset
	err := s.track(c)
	if err != nil {
		s.err = err
	} else if fn != nil {
		err = fn(c)
	}
	return err
}

// track follows SELECT and transactions.
func (s *Scanner) track(c *Command) error {
	if s.inTx {
		c.Tx = TxInside
	}
	if marks(c) {
		if err := s.mark(c); err != nil {
			return err
		}
	}
	if !s.inTx {
		s.boundary, s.boundaryDB = c.End, s.db
	}
	return nil
}

// marks quickly rules out the commands that mark nothing, nearly all of them: for the others it may
// be true.
func marks(c *Command) bool {
	if len(c.Args) == 0 {
		return false
	}
	name, first := c.Args[0], byte(0)
	switch len(name) {
	case len("exec"):
		first = 'e'
	case len("multi"):
		first = 'm'
	case len("select"):
		first = 's'
	case len("discard"):
		first = 'd'
	default:
		return false
	}
	return name[0]|0x20 == first
}

// mark follows a command that begins or ends a transaction or selects a database.
func (s *Scanner) mark(c *Command) error {
	switch {
	case c.Is("multi"):
		c.Tx, s.inTx = TxBegin, true
	case c.Is("exec"), c.Is("discard"):
		if s.inTx {
			c.Tx = TxEnd
		}
		s.inTx = false
	case c.Is("select") && len(c.Args) == 2:
		db, err := strconv.Atoi(string(c.Args[1]))
		if err != nil || db < 0 {
			return &SyntaxError{c.Start, fmt.Sprintf("SELECT %.40q", c.Args[1])}
		}
		s.db = db
	}
	return nil
}

// ErrStop ends a Feed early; Feed returns it unchanged.
var ErrStop = errors.New("stop")
