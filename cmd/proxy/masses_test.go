package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/journal/event"
	"holdfast/proxy/proxytest"
)

// manyKeys is above the number of deletes that are an event, also if some are too late for it.
const manyKeys = 2 * event.Deletes

// Keys that go in masses round the proxy raise one alarm, whatever they go by: an event with the command that
// restores the moment before, in the log, on the console and in the metrics.
func TestMassesOfKeys(t *testing.T) {
	for _, way := range []struct {
		name, kind, text string
		remove           func(m *masses)
	}{
		{"deletes", "deletes", fmt.Sprintf(" in db0 of up to %d keys", manyKeys), (*masses).deleted},
		{"evictions", "deletes", " of up to ", (*masses).evicted},
		{"deadlines", "expired", " expired keys", (*masses).expired},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
				t.Parallel()
				m := &masses{process: startProxy(t, srv, "rules: []\njournal: {dir: j, mark: 100ms}\n"), srv: srv}
				m.fill()
				way.remove(m)
				m.alarm(way.kind, way.text)
				v := m.leads("--event", "1")
				if got := v.Keys.String(); got != fmt.Sprint("db0 ", manyKeys) && way.kind == "deletes" {
					t.Errorf("before event 1: %s", got)
				}
			}, append([]string{"--hz", "100"}, recordedArgs...)...)
		})
	}
}

// masses is a server with many keys, which a proxy records.
type masses struct {
	*process
	srv *proxytest.Server
}

// each sends a command for each key round the proxy.
func (m *masses) each(command func(key string) []any) {
	m.t.Helper()
	pipe := m.srv.Client().Pipeline()
	for i := range manyKeys {
		pipe.Do(m.t.Context(), command(fmt.Sprint("key:", i))...)
	}
	if _, err := pipe.Exec(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// fill makes the keys, and waits until the server's own count of them is in the journal.
func (m *masses) fill() {
	m.t.Helper()
	m.recordedAll(m.srv)
	m.each(func(key string) []any { return []any{"SET", key, strings.Repeat("v", 100)} })
	m.known(fmt.Sprint("db0 ", manyKeys))
}

// known waits until the journal knows the number of keys at its end.
func (m *masses) known(want string) {
	m.t.Helper()
	proxytest.Poll(m.t, "the end is known to have "+want, func() bool {
		m.recordedAll(m.srv)
		return m.leads("--end").Keys.String() == want
	})
}

func (m *masses) gone() {
	m.t.Helper()
	proxytest.Poll(m.t, "the keys are gone", func() bool { return m.srv.Info("keyspace")["db0"] == "" })
}

func (m *masses) deleted() { m.each(func(key string) []any { return []any{"UNLINK", key} }) }

func (m *masses) evicted() {
	m.srv.MustDo("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
	m.srv.MustDo("CONFIG", "SET", "maxmemory", "1")
	m.gone()
	m.srv.MustDo("CONFIG", "SET", "maxmemory", "0")
}

// expired gives every key the deadline of a mistake.
func (m *masses) expired() {
	m.srv.MustDo("DEBUG", "SET-ACTIVE-EXPIRE", "0")
	m.each(func(key string) []any { return []any{"PEXPIRE", key, 100} })
	m.recordedAll(m.srv)
	m.srv.MustDo("DEBUG", "SET-ACTIVE-EXPIRE", "1")
	m.gone()
}

// alarm waits for the event everywhere.
func (m *masses) alarm(kind, text string) {
	m.t.Helper()
	console := redis.NewClient(&redis.Options{Addr: m.console, MaxRetries: -1, DisableIdentity: true, Protocol: 2})
	defer console.Close()
	var shown string
	proxytest.Poll(m.t, "SHOW EVENTS has it", func() bool {
		shown, _ = console.Do(m.t.Context(), "SHOW", "EVENTS", "JSON").Text()
		return strings.Contains(shown, text)
	})
	var list []map[string]any
	if json.Unmarshal([]byte(shown), &list) != nil || len(list) != 1 || !strings.Contains(shown, " --event 1 --target ADDRESS") {
		m.t.Errorf("SHOW EVENTS: %s", shown)
	}
	proxytest.Poll(m.t, "the log has it", func() bool {
		log := m.log.String()
		return strings.Contains(log, "data is being destroyed") && strings.Contains(log, text) && strings.Contains(log, " --event 1 --target ADDRESS")
	})
	want := fmt.Sprintf("holdfast_journal_events_total{kind=%q} 1\n", kind)
	if got := metrics(m.t, m.process); !strings.Contains(got, want) {
		m.t.Errorf("no %q", want)
	}
}
