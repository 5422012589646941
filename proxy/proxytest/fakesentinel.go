package proxytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// FakeSentinel is a sentinel that says what a test wants, in RESP3. It is safe for concurrent use.
type FakeSentinel struct {
	Addr, ID string

	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	names   string // the primary that it names; "": it does not know the name
	master  string // that SENTINEL MASTER shows
	flags   string
	epoch   int
	peers   [][2]string // id and address
	below   []string    // addresses of the primary's replicas
	onFail  func(words []string) (reply string)
	silent  bool
	refuses string // an error in place of each reply
	conns   map[net.Conn]struct{}
	asked   int
}

// StartFakeSentinel starts a sentinel that names a primary. It ends with the test.
func StartFakeSentinel(t testing.TB, id, names string) *FakeSentinel {
	t.Helper()
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	s := &FakeSentinel{Addr: l.Addr().String(), ID: id, listener: l, names: names, master: names,
		flags: "master", epoch: 1, conns: map[net.Conn]struct{}{}}
	s.running.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// Close ends it: connections break, and new ones are refused.
func (s *FakeSentinel) Close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// Name makes it name another primary.
func (s *FakeSentinel) Name(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names, s.master = address, address
}

// Lead makes it name another primary, as the leader of a failover that is over, by a newer epoch.
func (s *FakeSentinel) Lead(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names, s.master, s.flags = address, address, "master"
	s.epoch++
}

// Promote makes it name another primary while it still leads the failover of the old one.
func (s *FakeSentinel) Promote(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = address
}

// Flag sets the flags of the primary, such as "master,o_down".
func (s *FakeSentinel) Flag(flags string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flags = flags
}

// List makes it list other sentinels.
func (s *FakeSentinel) List(others ...*FakeSentinel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = nil
	for _, o := range others {
		s.peers = append(s.peers, [2]string{o.ID, o.Addr})
	}
}

// Replicas makes it list replicas of the primary.
func (s *FakeSentinel) Replicas(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.below = addresses
}

// OnFailover makes it answer SENTINEL FAILOVER name with what do returns; words follow the name. do may
// use the sentinel.
func (s *FakeSentinel) OnFailover(do func(words []string) (reply string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onFail = do
}

// Silence makes it answer nothing, or go on.
func (s *FakeSentinel) Silence(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = on
}

// Refuse makes it answer each command with an error.
func (s *FakeSentinel) Refuse(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = text
}

// Asked counts the times that it was asked for the primary.
func (s *FakeSentinel) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Publish sends an event on every connection.
func (s *FakeSentinel) Publish(channel, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		fmt.Fprintf(c, ">3\r\n%s%s%s", bulk("message"), bulk(channel), bulk(text))
	}
}

func (s *FakeSentinel) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.running.Go(func() { s.serve(c) })
	}
}

func (s *FakeSentinel) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	in := bufio.NewReader(c)
	for {
		args, _, err := readCommand(in)
		if err != nil {
			return
		}
		s.mu.Lock() // also keeps a reply apart from an event
		_, err = io.WriteString(c, s.answer(args))
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// answer is the reply to a command. With mu held.
func (s *FakeSentinel) answer(args []string) string {
	command := strings.ToUpper(args[0])
	if command == "SENTINEL" {
		command += " " + strings.ToUpper(args[1])
	}
	if command == "SENTINEL GET-MASTER-ADDR-BY-NAME" {
		s.asked++
	}
	switch {
	case s.silent:
		return ""
	case s.refuses != "":
		return "-" + s.refuses + "\r\n"
	}
	switch command {
	case "HELLO":
		return "%1\r\n" + bulk("role") + bulk("sentinel")
	case "SUBSCRIBE":
		var b strings.Builder
		for i, channel := range args[1:] {
			fmt.Fprintf(&b, ">3\r\n%s%s:%d\r\n", bulk("subscribe"), bulk(channel), i+1)
		}
		return b.String()
	case "SENTINEL MYID":
		return bulk(s.ID)
	case "SENTINEL GET-MASTER-ADDR-BY-NAME":
		if s.names == "" {
			return "_\r\n"
		}
		host, port, _ := net.SplitHostPort(s.names)
		return "*2\r\n" + bulk(host) + bulk(port)
	case "SENTINEL MASTER":
		if s.names == "" {
			return "-ERR No such master with that name\r\n"
		}
		host, port, _ := net.SplitHostPort(s.master)
		return record("ip", host, "port", port, "flags", s.flags, "quorum", "2", "config-epoch", strconv.Itoa(s.epoch))
	case "SENTINEL SENTINELS":
		out := fmt.Sprintf("*%d\r\n", len(s.peers))
		for _, p := range s.peers {
			host, port, _ := net.SplitHostPort(p[1])
			out += record("ip", host, "port", port, "runid", p[0])
		}
		return out
	case "SENTINEL REPLICAS":
		out := fmt.Sprintf("*%d\r\n", len(s.below))
		for _, address := range s.below {
			host, port, _ := net.SplitHostPort(address)
			out += record("ip", host, "port", port, "flags", "slave", "master-link-status", "ok")
		}
		return out
	case "SENTINEL FAILOVER":
		if s.onFail != nil {
			do := s.onFail
			s.mu.Unlock()
			defer s.mu.Lock()
			return do(args[3:])
		}
	}
	return "-ERR unknown command\r\n"
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// record is a map of texts.
func record(pairs ...string) string {
	out := fmt.Sprintf("%%%d\r\n", len(pairs)/2)
	for _, p := range pairs {
		out += bulk(p)
	}
	return out
}
