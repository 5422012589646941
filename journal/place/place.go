// Package place tells whether two addresses lead to one server. Those who take part in a failover spell them in
// different ways: a replica has the words of its REPLICAOF, a sentinel the announced address, a configuration a name; and
// an IPv6 address has many forms. So hosts are compared as sets, the IP addresses that each stands for now, and a name must
// stand for one server.
//
// No comparison shows that a server behind NAT is at the address that it announces. Sentinels mend that: they point
// each replica at the address that they have for its primary.
package place

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Book holds what names stand for. The zero value is empty and ready. It is safe for concurrent use.
type Book struct {
	// Lookup returns the addresses of a name. Nil is the system's resolver.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)

	mu    sync.Mutex
	names map[string]entry
}

// entry is what a name stood for when it was looked up last with success, and when to look it up again.
type entry struct {
	addrs []netip.Addr
	due   time.Time
	err   error // of the last look; nil: it succeeded
}

const (
	// patience bounds a call of Learn.
	patience = 250 * time.Millisecond
	// fresh is how long an answer is good, and failed how long none is asked for after a failure.
	fresh, failed = 10 * time.Second, time.Second
)

var errNone = errors.New("it has no address")

// Learn looks up the names in addresses (host:port) of which no fresh answer is known, for a quarter of a second at most.
// The error names those that stand for nothing so far. Without names it does no I/O; with names it blocks: never call it
// on a loop.
func (b *Book) Learn(ctx context.Context, addresses ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var asked []string
	var all sync.WaitGroup
	for _, a := range addresses {
		name, isName := nameIn(a)
		if !isName || slices.Contains(asked, name) {
			continue
		}
		asked = append(asked, name)
		if b.isDue(name) {
			all.Go(func() { b.ask(ctx, name) })
		}
	}
	all.Wait()
	var errs []error
	for _, name := range asked {
		if e := b.entry(name); len(e.addrs) == 0 {
			errs = append(errs, fmt.Errorf("look up %s: %w", name, e.err))
		}
	}
	return errors.Join(errs...)
}

// Same reports whether two addresses (host:port) are those of one server, by what Learn has found so far. It does no I/O.
// Addresses without a port, such as those of unix sockets, are compared as texts.
func (b *Book) Same(x, y string) bool {
	if x == y {
		return true
	}
	xHost, xPort, err := net.SplitHostPort(x)
	yHost, yPort, err2 := net.SplitHostPort(y)
	if err != nil || err2 != nil || xPort != yPort {
		return false
	}
	xSet, ySet := b.set(xHost), b.set(yHost)
	return canonical(xHost) == canonical(yHost) ||
		slices.ContainsFunc(xSet, func(a netip.Addr) bool { return slices.Contains(ySet, a) })
}

// set is the addresses that a host stands for, as far as is known.
func (b *Book) set(host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	return b.entry(canonical(host)).addrs
}

func (b *Book) entry(name string) entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.names[name]
}

func (b *Book) isDue(name string) bool { return !time.Now().Before(b.entry(name).due) }

// ask looks a name up. After a failure the last answer stands.
func (b *Book) ask(ctx context.Context, name string) {
	lookup := b.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	addrs, err := lookup(ctx, name)
	if err == nil && len(addrs) == 0 {
		err = errNone
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.names == nil {
		b.names = map[string]entry{}
	}
	if err != nil {
		b.names[name] = entry{b.names[name].addrs, time.Now().Add(failed), err}
		return
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	b.names[name] = entry{addrs, time.Now().Add(fresh), nil}
}

// nameIn is the host of an address, unless it is an IP address or none.
func nameIn(address string) (name string, ok bool) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.HasPrefix(address, "unix:") {
		return "", false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", false
	}
	return canonical(host), true
}

// canonical is a name as DNS compares it.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
