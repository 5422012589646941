package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
)

// A carelessLine is one line of testdata/careless.txt.
type carelessLine struct {
	becomes  string // stays, undo or journal
	text     string
	commands [][]string
}

func readCareless(t *testing.T) (lines []carelessLine) {
	t.Helper()
	text, err := os.ReadFile("testdata/careless.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		becomes, sent, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		l := carelessLine{becomes: becomes, text: sent}
		for _, command := range strings.Split(sent, " ; ") {
			l.commands = append(l.commands, strings.Split(strings.ReplaceAll(command, `\n`, "\n"), "|"))
		}
		lines = append(lines, l)
	}
	return lines
}

// careful is the data that the agent is careless about: database, command.
var careful = []struct {
	db      int
	command string
}{
	{0, "SET user:1 ada"}, {0, "SET user:2 bob PXAT 4102444800000"}, {0, "SET counter 41"},
	{0, "RPUSH queue a b c"}, {0, "SADD tags a b c"}, {0, "ZADD board 1 a 2 b 3 c"},
	{0, "HSET profile name ada mail a@example.com"}, {0, "XADD log 1-1 f v"}, {0, "XADD log 2-1 f v"},
	{0, "XGROUP CREATE log readers 0"}, {1, "SET other x"},
}

// A carelessScene is a server with that data, and the proxy of configs/agents.yaml in front of it.
type carelessScene struct {
	*process
	srv    *proxytest.Server
	direct [2]*redis.Client // the databases 0 and 1 of the server
}

// agentsProxy starts the proxy with configs/agents.yaml, of which only the addresses change.
func agentsProxy(t *testing.T, srv *proxytest.Server) *carelessScene {
	t.Helper()
	text, err := os.ReadFile("../../configs/agents.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, addr: freeAddr(t), console: freeAddr(t), http: freeAddr(t)}
	changed := strings.NewReplacer("127.0.0.1:6380", p.addr, "127.0.0.1:6379", srv.Addr,
		"127.0.0.1:6390", p.console, "127.0.0.1:9390", p.http, "./data/journal", "./j").Replace(string(text))
	p.file = configFile(t, changed)
	p.start()
	s := &carelessScene{process: p, srv: srv}
	for db := range s.direct {
		s.direct[db] = redis.NewClient(&redis.Options{Addr: srv.Addr, DB: db, MaxRetries: -1,
			DisableIdentity: true, Protocol: 2})
		t.Cleanup(func() { s.direct[db].Close() })
	}
	proxytest.Poll(t, "the proxy answers", func() bool { return p.client.Ping(t.Context()).Err() == nil })
	return s
}

// fill makes the data as it was, directly on the server.
func (s *carelessScene) fill() {
	s.t.Helper()
	for _, c := range s.direct {
		keys, err := c.Keys(s.t.Context(), "*").Result()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, key := range keys {
			c.Del(s.t.Context(), key)
		}
	}
	for _, c := range careful {
		var args []any
		for word := range strings.FieldsSeq(c.command) {
			args = append(args, word)
		}
		if err := s.direct[c.db].Do(s.t.Context(), args...).Err(); err != nil {
			s.t.Fatalf("%s: %v", c.command, err)
		}
	}
}

// holdings is the value of every key in the databases of these clients, with its deadline.
func holdings(t *testing.T, clients ...*redis.Client) map[string]string {
	t.Helper()
	out := map[string]string{}
	for db, c := range clients {
		keys, err := c.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if key == "holdfast:mark" {
				continue
			}
			value := c.Do(t.Context(), "DEBUG", "DIGEST-VALUE", key).String()
			deadline := c.Do(t.Context(), "PEXPIRETIME", key).String()
			out[fmt.Sprint(db, ":", key)] = value[strings.LastIndex(value, ":"):] + deadline[strings.LastIndex(deadline, ":"):]
		}
	}
	return out
}

// play sends one line by a connection of its own, and waits until all of it is done.
func (s *carelessScene) play(l carelessLine) []string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var answers []string
	for _, command := range l.commands {
		if _, err := conn.Write([]byte(proxytest.Command(command...))); err != nil {
			s.t.Fatal(err)
		}
		answer, err := readReply(r)
		if err != nil {
			s.t.Fatalf("%q: %v", command, err)
		}
		answers = append(answers, answer)
	}
	return answers
}

// readReply reads one reply in RESP2 and returns its first line.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$':
		if n >= 0 {
			_, err = io.CopyN(io.Discard, r, int64(n)+2)
		}
	case '*':
		for range max(n, 0) {
			if _, err = readReply(r); err != nil {
				break
			}
		}
	}
	return line, err
}

// entries are the ids in the trash, the newest first.
func (s *carelessScene) entries() (ids []string) {
	s.t.Helper()
	list, ok := s.trash()
	if !ok {
		s.t.Fatalf("SHOW TRASH: %s", s.operate("SHOW", "TRASH"))
	}
	slices.SortFunc(list, func(a, b trashItem) int { return cmp.Compare(b.ID, a.ID) })
	for _, e := range list {
		ids = append(ids, fmt.Sprint(e.ID))
	}
	return ids
}

// undo puts back everything that the trash holds.
func (s *carelessScene) undo() {
	for _, id := range s.entries() {
		s.operate("UNDO", id, "REPLACE")
	}
}

// purge empties the trash, so that the next line meets its own entries only.
func (s *carelessScene) purge() {
	for _, id := range s.entries() {
		if answer := s.operate("PURGE", id); !strings.HasPrefix(answer, "OK") {
			s.t.Fatalf("PURGE %s: %s", id, answer)
		}
	}
}

// missing are the keys of want that are not as they were.
func missing(want, got map[string]string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			out = append(out, key)
		}
	}
	return out
}

// TestAgentsProfile plays the session of a careless agent behind the profile for agents. Each key
// must be there at the end, or come back by UNDO, or, where the list says so, from the journal.
func TestAgentsProfile(t *testing.T) {
	t.Parallel()
	lines := readCareless(t)
	if len(lines) != 100 {
		t.Fatalf("%d lines", len(lines))
	}
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		t.Parallel()
		s := agentsProxy(t, srv)
		s.recordedAll(srv)
		s.fill()
		want := holdings(t, s.direct[:]...)
		s.recordedAll(srv)
		before := srv.Info("replication")["master_repl_offset"]
		for _, l := range lines {
			answers := s.play(l)
			becomes := "stays"
			if len(missing(want, holdings(t, s.direct[:]...))) > 0 {
				becomes = "undo"
				s.undo()
			}
			lost := missing(want, holdings(t, s.direct[:]...))
			if len(lost) > 0 {
				becomes = "journal"
				s.fill()
			}
			if becomes != l.becomes {
				t.Errorf("%s: %q: want %s, got %s %q", l.text, answers, l.becomes, becomes, lost)
			}
			s.purge()
		}
		s.expectAudit(lines)
		s.expectRestore(before, want)
	}, append(slices.Clone(recordedArgs), "--databases", "16")...)
}

// expectAudit requires a line of the audit log, with the user and the address, for each line of the
// session of which a rule kept the data.
func (s *carelessScene) expectAudit(lines []carelessLine) {
	s.t.Helper()
	kept := 0
	for _, l := range lines {
		if l.becomes == "undo" {
			kept++
		}
	}
	proxytest.Poll(s.t, "the audit log has the session", func() bool {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(s.file), "audit.log"))
		if err != nil {
			s.t.Fatal(err)
		}
		verdicts := map[string]int{}
		for line := range strings.Lines(string(text)) {
			var e struct{ Verdict, Rule, Command, User, Client, Operator string }
			if json.Unmarshal([]byte(line), &e) != nil {
				return false // its end is still being written
			}
			if e.Operator == "" && (e.User != "default" || e.Client == "" || e.Rule == "" || e.Command == "") {
				s.t.Errorf("the audit log has no names: %s", line)
			}
			verdicts[e.Verdict]++
		}
		return verdicts["trashed"] >= kept && verdicts["held"] > 10 && verdicts["denied"] > 10
	})
}

// expectRestore requires the data as it was from the journal, on another server.
func (s *carelessScene) expectRestore(offset string, want map[string]string) {
	s.t.Helper()
	s.recordedAll(s.srv)
	target := proxytest.Spec{Kind: s.srv.Binary.Kind, Args: recordedArgs}.Start(s.t)
	mustRun(s.t, "restore", "--dir", s.folder(), "--to", offset, "--target", "redis://"+target.Addr)
	var clients [2]*redis.Client
	for db := range clients {
		clients[db] = redis.NewClient(&redis.Options{Addr: target.Addr, DB: db, MaxRetries: -1,
			DisableIdentity: true, Protocol: 2})
		s.t.Cleanup(func() { clients[db].Close() })
	}
	if lost := missing(want, holdings(s.t, clients[:]...)); len(lost) > 0 {
		s.t.Errorf("the journal does not have %q as they were", lost)
	}
}

// executed are the commands that pass: those of the last row of docs/agents.md, of which the journal alone has what they
// destroy, and two that destroy nothing.
var executed = strings.Fields("set setex psetex setnx mset msetex msetnx getset hdel lpop rpop lrem lmove rpoplpush lmpop blmove " +
	"blmpop blpop brpop brpoplpush srem spop smove zrem zpopmin zpopmax zmpop bzmpop bzpopmin bzpopmax xdel xautoclaim vadd vrem " +
	"vsetattr script|load client|list")

// Every command of every server that can lose data meets a rule of the profile, or is one of the last row.
func TestAgentsProfileIsWhole(t *testing.T) {
	t.Parallel()
	c, err := inspect("../../configs/agents.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const loses = policy.Destructive | policy.EffectShrink | policy.EffectCode | policy.EffectAdmin
	known, passed := map[string]bool{}, map[string]bool{}
	for _, b := range proxytest.Matrix(t) {
		reply, err := proxytest.Spec{Kind: b.Kind}.Start(t).Client().Do(t.Context(), "COMMAND").Result()
		if err != nil {
			t.Fatal(err)
		}
		table, err := policy.NewTable(reply)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.New(policy.Options{Table: table, Rules: ruleSpecs(c), AllowUnknown: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, cmd := range table.All()[1:] {
			known[cmd.Name] = true
			if len(cmd.Subs) > 0 || !cmd.Effects.Any(loses) || p.Restricts(cmd) {
				continue
			}
			if passed[cmd.Name] = true; !slices.Contains(executed, cmd.Name) {
				t.Errorf("%v: %s passes, and may lose data: %v", b, cmd.Name, cmd.Effects)
			}
		}
	}
	for _, name := range executed {
		if !passed[name] && (known[name] || !testing.Short()) { // the short form has one server
			t.Errorf("%s does not pass", name)
		}
	}
}
