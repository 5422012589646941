package takeover

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"holdfast/proxy/eventloop"
)

// Sockets are the listening sockets of a process, by the addresses of its configuration. The zero value is
// ready. A nil *Sockets only listens: its sockets cannot be handed over.
type Sockets struct {
	mu       sync.Mutex
	open     []*listener // in use, in the order of Listen
	spare    []spare     // not in use yet
	borrowed bool        // those of another process may go back to it: the files of unix sockets stay
}

// spare is a socket that waits for its Listen.
type spare struct {
	address string
	file    int          // from another process, if ln is nil
	ln      net.Listener // bound by this process
	kept    bool         // the service manager's: the file of a unix socket stays, with its owner and mode
}

// handed is a duplicate of a socket in use, for another process.
type handed struct {
	address string
	file    int
	kept    bool
}

// listener is a socket in use.
type listener struct {
	net.Listener
	address string
	kept    bool
	sockets *Sockets
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.sockets.forget(l)
	return l.Listener.Close()
}

// Listen listens on an address, host:port or unix:/path: on the socket that another process handed over, or that
// Bind has bound, or else on a new one.
func (s *Sockets) Listen(address string) (net.Listener, error) {
	if s == nil {
		return eventloop.Listen(address)
	}
	ln, kept, err := s.take(address)
	if ln == nil && err == nil {
		ln, err = eventloop.Listen(address)
	}
	if err != nil {
		return nil, err
	}
	l := &listener{ln, address, kept, s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, l)
	return l, nil
}

// take returns a spare socket; nil: there is none.
func (s *Sockets) take(address string) (ln net.Listener, kept bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.spare, func(sp spare) bool { return sp.address == address })
	if i < 0 {
		return nil, false, nil
	}
	sp := s.spare[i]
	s.spare = slices.Delete(s.spare, i, i+1)
	ln, err = sp.listen(!s.borrowed)
	return ln, sp.kept, err
}

// listen makes a listener of a descriptor. For a moment it sets the socket to blocking, in the other process,
// too: that one has to have stopped accepting.
func (sp *spare) listen(withFile bool) (net.Listener, error) {
	if sp.ln != nil {
		return sp.ln, nil
	}
	file := os.NewFile(uintptr(sp.file), sp.address)
	defer file.Close()
	ln, err := net.FileListener(file) // a duplicate
	if err != nil {
		return nil, fmt.Errorf("takeover: the socket of %s: %w", sp.address, err)
	}
	unlink(ln, withFile && !sp.kept)
	return ln, nil
}

// Kept reports whether a listener of Listen is a socket of the service manager's, whose file is not ours to change.
func Kept(ln net.Listener) bool {
	l, ok := ln.(*listener)
	return ok && l.kept
}

// unlink says whether the file of a unix socket goes with its listener.
func unlink(ln net.Listener, with bool) {
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(with)
	}
}

func (s *Sockets) forget(l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(o *listener) bool { return o == l })
}

// bind binds the addresses for which there is no spare socket. After an error it has bound none.
func (s *Sockets) bind(addresses []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var have []string
	for _, sp := range s.spare {
		have = append(have, sp.address)
	}
	before := len(s.spare)
	for _, address := range addresses {
		if i := slices.Index(have, address); i >= 0 {
			have = slices.Delete(have, i, i+1)
			continue
		}
		ln, err := eventloop.Listen(address)
		if err != nil {
			err = fmt.Errorf("listen on %s: %w", address, err)
			return errors.Join(err, s.closeSpare(before))
		}
		s.spare = append(s.spare, spare{address: address, ln: ln})
	}
	return nil
}

// adopt takes the descriptors of sockets that wait for Listen.
func (s *Sockets) adopt(from []handed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range from {
		s.spare = append(s.spare, spare{address: h.address, file: h.file, kept: h.kept})
	}
}

// borrow is adopt for sockets that another process may take back until own.
func (s *Sockets) borrow(from []handed) {
	s.adopt(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.borrowed = true
}

// Own is called before a process accepts that took over, or serves again: the sockets are its alone. Those that no Listen
// has asked for are closed, with the files of unix sockets, so that no client waits there.
func (s *Sockets) Own(log *slog.Logger) {
	if gone, err := s.own(); len(gone) > 0 || err != nil {
		log.Info("addresses that are not configured any more are closed", "addresses", gone, "error", err)
	}
}

// own returns the addresses that it has closed.
func (s *Sockets) own() (closed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.borrowed = false
	for _, l := range s.open {
		unlink(l.Listener, !l.kept)
	}
	for _, sp := range s.spare {
		closed = append(closed, sp.address)
	}
	return closed, s.closeSpare(0)
}

// giveBack closes the spare sockets while they are borrowed, and leaves the files of unix sockets to the process
// before.
func (s *Sockets) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.borrowed {
		return
	}
	s.spare = slices.DeleteFunc(s.spare, func(sp spare) bool {
		if sp.ln == nil {
			unix.Close(sp.file)
		}
		return sp.ln == nil
	})
	_ = s.closeSpare(0)
}

// closeSpare closes all spare sockets but the first ones. With mu held.
func (s *Sockets) closeSpare(from int) error {
	var all []error
	for i := from; i < len(s.spare); i++ {
		ln, err := s.spare[i].listen(true)
		if err == nil {
			err = ln.Close()
		}
		all = append(all, err)
	}
	s.spare = s.spare[:from]
	return errors.Join(all...)
}

// hand duplicates the sockets in use. The caller closes the duplicates.
func (s *Sockets) hand() (all []handed, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.open {
		file, err := duplicate(l.Listener)
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("takeover: the socket of %s: %w", l.address, err)
		}
		all = append(all, handed{l.address, file, l.kept})
	}
	return all, nil
}

// leaveFiles makes the files of unix sockets outlive their listeners here.
func (s *Sockets) leaveFiles() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.open {
		unlink(l.Listener, false)
	}
}

// duplicate returns another descriptor of a listener's socket. File would do the same, and make reading its
// descriptor set the socket to blocking.
func duplicate(ln net.Listener) (file int, err error) {
	c, ok := ln.(syscall.Conn)
	if !ok {
		return -1, errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { file, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	return file, errors.Join(err, failed)
}

func closeAll(all []handed) {
	for _, h := range all {
		unix.Close(h.file)
	}
}
