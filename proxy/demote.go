package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/ctxtime"
	"holdfast/proxy/upstream"
)

// After a failover the old primary may run on as a primary, for ten seconds after a planned one, until
// the sentinels demote it. Clients that go round the proxy write there, and those writes are lost. So
// once the new primary is in force, the proxy demotes the old one as the sentinels would
// (failover.fence).
//
// REPLICAOF replaces a server's data, so it must never reach another server. On one connection, hence
// to one process:
//
//  1. The run id is that of the server that the proxy has worked with, and the role is master.
//  2. CLIENT PAUSE WRITE: it acknowledges no write any more.
//  3. The proxy's own links there end (retireUpstream), so that the next step cuts no reply off.
//  4. The new primary says master, under another run id, and that its history left the old one's: its
//     replid2 is the old server's replid, at an offset that the old server has reached. A server with
//     other data, which sentinels were told to watch by mistake, does not.
//  5. The sentinels still name it.
//  6. REPLICAOF; CLIENT UNPAUSE: the writes that wait there get -READONLY, so that their clients, and other proxies
//     (recall.go), know that they were not executed, and the replication goes on; CLIENT KILL ends the old clients;
//     CONFIG REWRITE, so that it starts again as a replica. A replica that takes writes (replica-read-only no) would
//     execute those that wait: there the clients end first.
//
// Until step 6 a failure undoes the pause. Where REPLICAOF is not permitted, the pause stays for its
// time. Steps 5 and 6 are two: between them the sentinels could only fail back to a server that is no
// replica, which they do not.
//
// A server that does not answer is tried again, for demoteFor: it may have been stopped or cut off. One
// that was started again has another run id and is left to the sentinels.
type demotion struct {
	log    *slog.Logger
	old    upstream.Options // where the old primary is
	new    upstream.Options // and the new one
	runID  string           // of the old one
	gone   <-chan struct{}  // closed when none of the proxy's links leads to the old one
	stands func() bool      // the new primary is still the one in force
	told   func(string)     // the end of the old primary
}

const (
	// demoteFor bounds the attempts to reach the old primary, and demoteEvery is the longest pause
	// between two.
	demoteFor, demoteEvery = 10 * time.Minute, 2 * time.Second
	// demoteTimeout bounds each answer.
	demoteTimeout = 2 * time.Second
	// pauseFor is how long the old primary holds writes back at the most: the sentinels demote it in
	// that time.
	pauseFor = 10 * time.Second
)

// The ends of an attempt that are no failure.
var (
	errOtherServer = errors.New("another server, or the same one after a restart, is at its address")
	errUnrelated   = errors.New("the new primary does not continue its history")
	errSuperseded  = errors.New("there is another failover")
)

// DemotionNeeds are the commands that the control user needs on every server for failover.fence.
func DemotionNeeds() [][]string {
	return [][]string{
		{"INFO", "replication"}, {"CLIENT", "PAUSE", "1", "WRITE"}, {"CLIENT", "UNPAUSE"}, {"REPLICAOF", "NO", "ONE"},
		{"CLIENT", "KILL", "TYPE", "normal"}, {"CONFIG", "REWRITE"},
	}
}

// run makes attempts until one settles it, or ctx ends. It is a goroutine of its own.
func (d *demotion) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, demoteFor)
	defer cancel()
	d.old.ConnectTimeout = min(d.old.ConnectTimeout, demoteTimeout)
	d.new.ConnectTimeout = min(d.new.ConnectTimeout, demoteTimeout)
	log := d.log.With("server", d.old.Address, "primary", d.new.Address)
	backoff := upstream.Backoff{Max: demoteEvery}
	for d.stands() {
		end, err := d.attempt(ctx)
		switch {
		case err == nil:
			d.told(end)
			log.Info("the old primary takes no writes", "how", end)
			return
		case refused(err), errors.Is(err, errOtherServer), errors.Is(err, errUnrelated), errors.Is(err, errSuperseded):
			d.told("not demoted: " + err.Error())
			log.Warn("the old primary is not demoted; the sentinels will do it", "reason", err)
			return
		}
		d.told("not reached: " + err.Error())
		log.Debug("the old primary is not reached", "error", err)
		if ctxtime.Sleep(ctx, backoff.Next()) != nil {
			return
		}
	}
}

// attempt demotes the old primary, and says how it ended. An error that is not refused and none of
// those above may pass.
func (d *demotion) attempt(ctx context.Context) (end string, err error) {
	old, err := upstream.Open(ctx, d.old)
	if err != nil {
		return "", err
	}
	defer old.Close()
	info, err := old.Info("server", "replication")
	switch {
	case err != nil:
		return "", err
	case info["run_id"] != d.runID:
		return "", errOtherServer
	case info["role"] != "master":
		return "it is a replica already", nil
	}
	if _, err := old.Do("CLIENT", "PAUSE", strconv.FormatInt(pauseFor.Milliseconds(), 10), "WRITE"); err != nil {
		return "", err
	}
	demoted := false
	defer func() {
		if !demoted {
			_, _ = old.Do("CLIENT", "UNPAUSE") // the pause ends by itself, too
		}
	}()
	select {
	case <-d.gone:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	beyond, err := d.continues(ctx, old)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(d.new.Address)
	if err != nil {
		return "", err
	}
	if _, err := old.Do("REPLICAOF", host, port); err != nil {
		demoted = refused(err) // then the pause stands in for it
		return "", err
	}
	demoted = true
	end = fmt.Sprintf("demoted by the proxy; %d bytes of its stream are not in the new one's history", beyond)
	if trouble := endDemoted(old); trouble != "" {
		end += " (" + trouble + ")"
	}
	return end, nil
}

// continues makes sure that the new primary is one, and that its history left the old one's. It
// returns the length of the stream that only the old one has, in bytes.
func (d *demotion) continues(ctx context.Context, old *upstream.Talk) (beyond int64, err error) {
	was, err := old.Info("server", "replication")
	if err != nil {
		return 0, err
	}
	succ, err := upstream.Open(ctx, d.new)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.new.Address, err)
	}
	defer succ.Close()
	now, err := succ.Info("server", "replication")
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s: %w", d.new.Address, err)
	case !d.stands():
		return 0, errSuperseded
	case was["role"] != "master" || was["run_id"] != d.runID:
		return 0, errSuperseded
	case now["run_id"] == d.runID || now["run_id"] == "":
		return 0, errUnrelated // one server under two addresses
	case now["role"] != "master":
		return 0, fmt.Errorf("%s is a replica at the moment", d.new.Address)
	}
	parted, err := strconv.ParseInt(now["second_repl_offset"], 10, 64)
	end, err2 := strconv.ParseInt(was["master_repl_offset"], 10, 64)
	if err != nil || err2 != nil || was["master_replid"] == "" || now["master_replid2"] != was["master_replid"] ||
		parted > end+1 {
		return 0, errUnrelated
	}
	return end + 1 - parted, nil
}

// endDemoted takes the steps after REPLICAOF. They cannot fail in a way that matters: the server takes no
// writes.
func endDemoted(old *upstream.Talk) (trouble string) {
	var failed []string
	steps := [][]string{
		{"CLIENT", "UNPAUSE"}, {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"},
		{"CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"}, {"CONFIG", "REWRITE"},
	}
	if info, err := old.Info("replication"); err != nil || info["slave_read_only"] != "1" {
		steps[0], steps[1] = steps[1], steps[0]
	}
	for _, words := range steps {
		if _, err := old.Do(words...); err != nil && !withoutFile(err) {
			failed = append(failed, strings.Join(words[:2], " ")+": "+err.Error())
		}
	}
	return strings.Join(failed, "; ")
}

// refused reports that a server refuses a command for good: the proxy's user lacks a permission.
func refused(err error) bool {
	var r *upstream.Refusal
	return errors.As(err, &r) && !isPassing([]byte("-"+r.Text))
}

// withoutFile reports that a server cannot rewrite its configuration file, because it has none.
func withoutFile(err error) bool {
	var r *upstream.Refusal
	return errors.As(err, &r) && strings.Contains(r.Text, "without a config file")
}
