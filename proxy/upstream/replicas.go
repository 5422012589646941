package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A primary does not know how its replicas fsync; WAITAOF counts their own acknowledgements. By
// default a Valkey 8 with an append-only file acknowledges before the fsync. So Holdfast asks the
// replicas themselves, at the addresses that the primary shows, with the control user's login.
//
// This runs in parallel with the checks, which take over the latest answers: a silent replica must
// not delay news of the primary.

// replicaTimeout bounds the queries to one replica.
const replicaTimeout = time.Second

// replicaFresh is how long an answer is valid; each check asks again.
const replicaFresh = 5 * time.Second

// replicaFacts is one replica's answer, or the reason why there is none.
type replicaFacts struct {
	said   Persistence
	role   string
	replID string
	err    error
	at     time.Time
}

// replicaWatch asks replicas. All of it is guarded by mu.
type replicaWatch struct {
	mu      sync.Mutex
	known   map[string]replicaFacts // by address
	clients map[string]*redis.Client
	asking  bool
	closed  bool
	work    sync.WaitGroup
}

// WatchReplicas makes checks query the replicas' fsync settings (Replica.Fsyncs): Probe waits for
// the answers, other checks do not. It never blocks.
func (u *Upstream) WatchReplicas(on bool) {
	if u.askReplicas.Swap(on) != on && on {
		u.Recheck()
	}
}

// examineReplicas takes over the latest answers of the replicas, and has them asked again.
func (u *Upstream) examineReplicas(ctx context.Context, after *Info, wait bool) {
	if !u.askReplicas.Load() {
		return
	}
	var addrs []string
	for k := range after.Replicas {
		if r := &after.Replicas[k]; r.Online() {
			addrs = append(addrs, r.Address())
		}
	}
	if wait {
		u.replicas.ask(ctx, u, addrs)
	} else if u.replicas.begin() {
		go u.replicas.askBeside(ctx, u, addrs)
	}
	after.Replicas = slices.Clone(after.Replicas) // after a refused INFO an older Info owns it
	u.replicas.mu.Lock()
	defer u.replicas.mu.Unlock()
	for k := range after.Replicas {
		r := &after.Replicas[k]
		if !r.Online() {
			continue
		}
		facts, asked := u.replicas.known[r.Address()]
		// An answer of just now counts, even if this process did not run since.
		if asked = asked && (wait || time.Since(facts.at) < replicaFresh); !asked {
			facts.err = errNotAsked
		}
		r.judge(&facts, after.ReplID)
	}
}

var errNotAsked = errors.New("it was not asked yet how it fsyncs")

// Address returns the address on which the replica listens.
func (r *Replica) Address() string { return net.JoinHostPort(r.Addr, strconv.Itoa(r.Port)) }

// judge decides whether the replica's acknowledgement of an fsync is reliable.
func (r *Replica) judge(f *replicaFacts, replID string) {
	switch {
	case f.err != nil:
		r.Doubt = f.err.Error()
	case f.role != "slave" || f.replID != replID:
		r.Doubt = "what answers at its address is not this replica: see replica-announce-ip"
	default:
		r.Said = f.said
		r.Fsyncs, r.Doubt = f.said.Proof()
		r.unfit = !r.Fsyncs
		r.silent = !f.said.AppendOnly
	}
}

// begin reports whether no query is running; the caller then runs one, and calls work.Done.
func (w *replicaWatch) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asking || w.closed {
		return false
	}
	w.asking = true
	w.work.Add(1)
	return true
}

// askBeside asks, and requests a check if an answer is new. It is a goroutine of its own, joined by
// close.
func (w *replicaWatch) askBeside(ctx context.Context, u *Upstream, addrs []string) {
	defer w.work.Done()
	changed := w.ask(ctx, u, addrs)
	w.mu.Lock()
	w.asking = false
	w.mu.Unlock()
	if changed {
		u.Recheck()
	}
}

// ask queries all replicas in parallel, and forgets those that are gone. It reports whether an
// answer has changed.
func (w *replicaWatch) ask(ctx context.Context, u *Upstream, addrs []string) (changed bool) {
	ctx, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	answers := make([]replicaFacts, len(addrs))
	var all sync.WaitGroup
	for k, addr := range addrs {
		if c := w.client(u, addr); c != nil {
			all.Go(func() { answers[k] = askReplica(ctx, c) })
		}
	}
	all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	known := make(map[string]replicaFacts, len(addrs))
	for k, addr := range addrs {
		old, now := w.known[addr], answers[k]
		known[addr] = now
		changed = changed || old.said != now.said || old.role != now.role ||
			old.replID != now.replID || (old.err == nil) != (now.err == nil) || old.at.IsZero()
	}
	w.known = known
	for addr, c := range w.clients {
		if _, there := known[addr]; !there {
			u.closeClient(c)
			delete(w.clients, addr)
		}
	}
	return changed
}

// client returns the client for an address, new or known; nil after close.
func (w *replicaWatch) client(u *Upstream, addr string) *redis.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	c := w.clients[addr]
	if c == nil {
		o := u.controlOptions()
		o.Addr, o.PoolSize, o.MaxActiveConns = addr, 1, 1
		o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return u.dialTo(ctx, "tcp", addr, nil)
		}
		c = redis.NewClient(o)
		if w.clients == nil {
			w.clients = map[string]*redis.Client{}
		}
		w.clients[addr] = c
	}
	return c
}

// close ends all queries for good.
func (w *replicaWatch) close(u *Upstream) {
	w.mu.Lock()
	w.closed = true
	for addr, c := range w.clients {
		u.closeClient(c)
		delete(w.clients, addr)
	}
	w.mu.Unlock()
	w.work.Wait()
}

// askReplica queries one replica.
func askReplica(ctx context.Context, c *redis.Client) (f replicaFacts) {
	defer func() { f.at = time.Now() }()
	var i Info
	text, err := c.Do(ctx, "info", "server", "persistence", "replication").Text()
	if err == nil {
		i.applyInfo(parseInfo(text))
		var config map[string]string
		config, err = c.ConfigGet(ctx, "*append*").Result()
		i.applyConfig(config)
	}
	if err != nil {
		return replicaFacts{err: fmt.Errorf("it cannot be asked how it fsyncs: %w", err)}
	}
	return replicaFacts{said: i.Persistence(), role: i.Role, replID: i.ReplID}
}
