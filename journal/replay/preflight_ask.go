package replay

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast/journal/internal/wire"
)

// checkCommands checks that the target knows each command of the stream under that name. A replica
// that does not logs that and goes on, with other data.
func (t *target) checkCommands(ctx context.Context, p *Preflight) error {
	names := append(t.opts.Plan.Needs.Names(), "REPLICAOF")
	v, err := t.ask(ctx, p, "commands", append([]string{"COMMAND", "INFO"}, names...)...)
	known, ok := v.([]any)
	if err != nil || !ok || len(known) != len(names) {
		return err
	}
	var lacks []string
	for i, name := range names {
		if known[i] == nil {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) > 0 {
		p.refuse("commands", ErrTarget, "it does not know %s, or has renamed it; its version and its "+
			"rename-command lines decide that", strings.Join(lacks, ", "))
	}
	return nil
}

// checkDatabases selects the highest database needed.
func (t *target) checkDatabases(ctx context.Context, p *Preflight) error {
	highest := strconv.Itoa(t.opts.Plan.Needs.MaxDB)
	_, err := t.conn.Do(ctx, "SELECT", highest)
	var reply wire.Error
	switch {
	case err == nil:
		_, err = t.conn.Do(ctx, "SELECT", "0")
	case errors.As(err, &reply) && reply.Code() == "NOPERM":
		if highest != "0" {
			p.advise("databases", "not checked: database %s is needed, and SELECT is refused: %s",
				highest, reply)
		}
		return nil
	case errors.As(err, &reply):
		p.refuse("databases", ErrTarget, "database %s is needed, and it has no such: %s; raise "+
			"databases in its configuration", highest, reply)
		return nil
	}
	if err != nil {
		return t.refused("SELECT", err)
	}
	return nil
}

// checkSettings checks the settings that govern the target's replication.
func (t *target) checkSettings(ctx context.Context, p *Preflight) error {
	v, err := t.ask(ctx, p, "settings", "CONFIG", "GET", "tls-replication")
	pair, _ := v.([]any)
	t.byTLS = err == nil && len(pair) == 2 && pair[1] == "yes"
	if t.byTLS && t.opts.Serve == nil {
		p.refuse("tls", ErrTarget, "tls-replication is yes: it would come for the data with TLS, and "+
			"there is no certificate to serve it with; name one beside its address (cert and key), or "+
			"CONFIG SET tls-replication no for as long as it takes")
	}
	if err != nil || v == nil {
		return err
	}
	v, err = t.ask(ctx, p, "settings", "CONFIG", "GET", "replica-read-only")
	pair, _ = v.([]any)
	if err == nil && len(pair) == 2 && pair[1] == "no" {
		p.refuse("writable", ErrTarget, "replica-read-only is no: clients could write into it before "+
			"it is at the point; CONFIG SET replica-read-only yes for as long as it takes")
	}
	return err
}

// sentinelChannel is the channel between the sentinels of a server.
const sentinelChannel = "__sentinel__:hello"

// checkSentinels finds sentinels by their subscriptions. A loading target answers them as a
// replica, or not at all, and they would promote another server in its place.
func (t *target) checkSentinels(ctx context.Context, p *Preflight) error {
	v, err := t.ask(ctx, p, "sentinels", "PUBSUB", "NUMSUB", sentinelChannel)
	pair, _ := v.([]any)
	if err != nil || len(pair) != 2 || pair[1] == int64(0) || t.opts.SentinelPaused {
		return err
	}
	p.refuse("sentinels", ErrWatched, "subscribed to it: %v; while it loads they would promote another "+
		"server; on each sentinel: SENTINEL SET NAME down-after-milliseconds 86400000, then restore "+
		"with --sentinel-paused, then set it back", pair[1])
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
