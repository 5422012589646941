package drills

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"holdfast/loadtest/harness"
)

// payers is how many clients pay at a time.
const payers = 8

// payUntil lets clients pay, one payment after the other, until each has lost its connection or has
// been answered with an error, whose code must be among these. It calls flows once all have paid for a
// while, and returns the keys that were answered OK.
func (s *scene) payUntil(flows func(), codes ...string) (paid []string) {
	s.Helper()
	var mu sync.Mutex
	var wait, warm sync.WaitGroup
	warm.Add(payers)
	for worker := range payers {
		wait.Go(func() {
			keys, last := s.pay(worker, warm.Done)
			mu.Lock()
			defer mu.Unlock()
			paid = append(paid, keys...)
			code, _, _ := strings.Cut(last, " ")
			if last != "" && !slices.Contains(codes, code) {
				s.Errorf("a payment was answered %q", last)
			}
			s.said = append(s.said, Shape(last))
		})
	}
	warm.Wait()
	flows()
	wait.Wait()
	return paid
}

// warmth is how many payments each client has made when flows is called.
const warmth = 50

// pay is one client. Last is the error that ended it; "": its connection did.
func (s *scene) pay(worker int, warm func()) (paid []string, last string) {
	warm = sync.OnceFunc(warm)
	defer warm()
	c, err := harness.DialClient(s.addr, replyTimeout)
	if err != nil {
		s.Error(err)
		return nil, ""
	}
	defer c.Close()
	value := strings.Repeat("x", 200)
	for i := 0; ; i++ {
		key := fmt.Sprintf("pay:%d:%d", worker, i)
		v, err := c.Do("SET", key, value+strconv.Itoa(i))
		if err != nil {
			return paid, ""
		}
		if e, ok := v.(harness.ErrReply); ok {
			return paid, string(e)
		}
		if paid = append(paid, key); i == warmth {
			warm()
		}
	}
}

// hasAll requires that each payment that was answered OK is there.
func (s *scene) hasAll(is contents, paid []string) {
	s.Helper()
	if len(paid) < payers*warmth {
		s.Fatalf("%d payments only", len(paid))
	}
	for _, key := range paid {
		if is["0 "+key] == "" {
			s.Fatalf("%s was answered OK and is not there, of %d", key, len(paid))
		}
	}
}

// paymentsThroughKill: the primary is killed under load and comes back without its data.
func paymentsThroughKill(s *scene) {
	s.deployed(s.server())
	old := contentsOf(s, s.srv.Addr)
	paid := s.payUntil(s.srv.Kill, "UPSTREAM", "UNCONFIRMED", "NODURABLE")
	s.srv.Restart()
	if i := s.judged(1); i.Verdict != "lost" {
		s.Fatalf("the verdict is %+v", i)
	}
	s.refused("NODURABLE", "SET", "pay:now", "1")
	s.alerts("HoldfastJournalLostTail")
	s.run(0)
	s.answered("SET", "pay:now", "1")
	s.ready(200, "ready\n")
	now := contentsOf(s, s.srv.Addr)
	s.hasAll(now, paid)
	s.holds(s.srv.Addr, now.with(old, func(name string) bool { return old[name] != "" }))
}
