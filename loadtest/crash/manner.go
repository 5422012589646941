package main

import (
	"strconv"
	"strings"

	"holdfast/loadtest/crash/history"
	"holdfast/loadtest/harness"
)

// A manner is the clients' special behaviour. The zero manner is none.
type manner struct {
	users     bool // some log in as users of their own
	databases int  // they use this many, with other names in each; 0: the first only
	functions bool // FCALL takes the place of EVAL
	silent    bool // CLIENT REPLY OFF and SKIP before commands that need a reply

	// closes: the route closes connections on timeout instead of an error.
	closes bool
	// passes: the route lets writes pass when their proof is unavailable, so that OK alone promises
	// nothing. With asks, the answer of HOLDFAST ACK counts.
	passes, asks bool
}

// variety combines all manners that keep the meaning of an OK.
var variety = manner{users: true, databases: 3, functions: true, silent: true}

// clientUser is in every server's command line, since users are not replicated.
const clientUser = "crash"

// serverArgs are the server's arguments for it.
func (m *manner) serverArgs() []string {
	if !m.users {
		return nil
	}
	return []string{"--user", clientUser, "on", ">" + clientUser, "~pay:*", "~tmp:*", "&*", "+@all"}
}

// library does the same as scriptAdd.
var library = "#!lua name=crash\nredis.register_function('add', function(KEYS, ARGV)\n" + scriptAdd +
	"\nend)"

// routeKeys are the route's lines of YAML for it.
func (sc *scenario) routeKeys() (lines string) {
	if sc.manner.closes {
		lines += "    on_timeout: close\n"
	}
	if sc.manner.passes {
		lines += "    when_unavailable: pass\n"
	}
	return lines
}

// open connects as this client does.
func (w *worker) open(resp3 bool) (*harness.Client, error) {
	c, err := w.connect(w.addrs[w.proxy], resp3)
	if err == nil && w.user {
		_, err = c.Must("AUTH", clientUser, clientUser)
	}
	if err == nil && w.db > 0 {
		_, err = c.Must("SELECT", strconv.Itoa(w.db))
	}
	if err != nil && c != nil {
		w.Drop(c)
	}
	return c, err
}

// become chooses this client's user, once.
func (w *worker) become() {
	m := &w.manner
	w.user = m.users && w.rng.IntN(2) == 0
	if m.databases > 0 {
		w.db = w.rng.IntN(m.databases)
	}
}

// here prefixes a name that several clients write with the database.
func (w *worker) here(key string) string { return inDatabase(key, w.db) }

func inDatabase(key string, db int) string {
	if db == 0 {
		return key
	}
	return key + ":db" + strconv.Itoa(db)
}

// proven asks for the worth of an OK, where it may be worthless.
func (w *worker) proven(s *history.Span) {
	if !w.manner.asks || s.Outcome != history.Acked || w.conn == nil {
		return
	}
	v, err := w.conn.Do("HOLDFAST", "ACK")
	if err != nil {
		s.Outcome, s.Text = history.Unknown, err.Error()
		w.disconnect()
		return
	}
	fields, _ := v.([]any)
	if len(fields) < 2 || fields[0] != "state" {
		w.complain("HOLDFAST ACK was answered %v", v)
	} else if fields[1] == "confirmed" {
		return
	}
	s.Outcome, s.Text = history.Unknown, "not proven"
}

// quiet sends a write with its reply switched off, and one with a reply.
func (w *worker) quiet() {
	unheard, lost := w.add()
	heard, wr := w.add()
	mode := "SKIP"
	if w.rng.IntN(2) == 0 {
		mode = "OFF"
	}
	first, second := w.span(), w.span()
	c := w.conn
	c.Put("CLIENT", "REPLY", mode)
	c.Put(unheard...)
	if mode == "OFF" {
		c.Put("CLIENT", "REPLY", "ON")
	}
	c.Put(heard...)
	err := c.Flush()
	if err == nil && mode == "OFF" {
		var v any
		if v, err = c.Reply(); err == nil && v != "OK" && !w.refuses(v) {
			w.complain("CLIENT REPLY ON was answered %v", v)
		}
	}
	w.note(lost, first, nil)
	var v any
	if err == nil {
		v, err = c.Reply()
	}
	if !w.finish(&second, v, err) {
		w.rest()
	}
	w.note(wr, second, v)
	if err == nil {
		w.disconnect() // in whatever state it is
	}
}

// refuses reports an error that clients must expect.
func (w *worker) refuses(v any) bool {
	e, failed := v.(harness.ErrReply)
	if !failed {
		return false
	}
	_, known := history.OutcomeOf(string(e))
	return known
}

// tooLate reports that a closing route has timed out.
func (w *worker) tooLate(e harness.ErrReply) bool {
	return w.manner.closes && strings.HasPrefix(string(e), "UNCONFIRMED") &&
		strings.Contains(string(e), "within")
}
