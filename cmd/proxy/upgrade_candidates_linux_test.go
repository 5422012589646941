package main

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// While the promoted server is silent, a process that takes over does not take the old primary, which clients have
// left: it knows the history from the process before, and takes nothing over.
func TestUpgradeKnowsThePrimary(t *testing.T) {
	t.Parallel()
	a, b := proxytest.StartServer(t), proxytest.StartServer(t)
	replicaOf(t, b, a)
	p := newProcess(t, checked, a.Addr, "")
	p.rewrite(fmt.Sprintf("listeners: [{address: %q}]\nupstream: {address: [%q, %q], connect_timeout: 2s}\n"+
		"admin: {address: %q, http: %q}\n", p.addr, a.Addr, b.Addr, p.console, p.http))
	p.start()
	p.awaitAnswer()
	says := func(text string) func() bool { return func() bool { return strings.Contains(p.log.String(), text) } }
	b.MustDo("REPLICAOF", "NO", "ONE")
	proxytest.Poll(t, "the proxy follows", says("the proxy follows a failover"))
	b.Pause()
	proxytest.Poll(t, "the silence is noticed", says("a candidate does not answer"))
	next := p.next()
	next.start()
	next.expectExit(exitFailed)
	if !strings.Contains(next.log.String(), "nothing was taken over: upstream "+b.Addr) {
		t.Errorf("it says\n%s", next.log.String())
	}
	b.Resume()
	next = p.takeOver()
	p.expectExit(exitDone)
	if err := next.do("SET", "n", "1"); err != nil {
		t.Error(err)
	}
	if got := b.MustDo("GET", "n"); got != "1" {
		t.Errorf("B has %v", got)
	}
	if got := a.MustDo("GET", "n"); got != nil {
		t.Errorf("the old primary has %v", got)
	}
}
