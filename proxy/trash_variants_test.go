package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// endings are all the ways to say when a key ends, in the past or not, well-formed or not.
var endings = []string{"PXAT 1", "EXAT 1", "pxat 1000", "EXAT 0", "PXAT 0", "EXAT -1", "PXAT -9", "EX 0", "PX -1",
	"PXAT 99999999999999", "EX 100", "KEEPTTL", "PERSIST", "PXAT", "PXAT x", "PXAT 1 EX 9", "KEEPTTL PXAT 1"}

// deleting are commands about the keys keep (of the value v) and other, in every form that can delete keep,
// and in many that cannot.
func deleting() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, end := range endings {
		for _, when := range []string{"", "NX", "XX", "IFEQ v", "IFEQ w", "IFNE v", "IFNE w", "XX NX", "IFEQ pxat"} {
			for _, get := range []string{"", "GET"} {
				parts := slices.DeleteFunc([]string{when, get, end}, func(s string) bool { return s == "" })
				add("SET keep z %s", strings.Join(parts, " "))
				slices.Reverse(parts)
				add("SET keep z %s", strings.Join(parts, " "))
			}
		}
		add("GETEX keep %s", end)
		add("getex keep %s PERSIST", end)
		for _, when := range []string{"", "NX", "XX"} {
			add("MSETEX 1 keep z %s %s", when, end)
			add("MSETEX 2 keep z other z %s %s", end, when)
			add("MSETEX 2 other z keep z %s %s", end, when)
			add("MSETEX 01 keep z %s %s", end, when)
		}
	}
	for _, name := range []string{"EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "expire"} {
		for _, n := range []string{"-1", "0", "1", "-0", "+1", "01", "-9223372036854775808", "9223372036854775807",
			"-99999999999999999999", "x", "99999999999"} {
			if n == "1" && strings.HasSuffix(strings.ToUpper(name), "PIRE") {
				continue // that is not in the past, and soon over
			}
			for _, when := range []string{"", "NX", "XX", "GT", "LT", "XX LT", "NX GT", "lt xx", "FOO"} {
				add("%s keep %s %s", name, n, when)
			}
		}
	}
	lines = append(lines, "DELIFEQ keep v", "DELIFEQ keep w", "DELIFEQ keep", "DELIFEQ keep v v", "delifeq keep v",
		"DEL keep", "DEL keep keep", "DEL none keep", "UNLINK keep other", "GETDEL keep", "GETDEL keep x",
		"RENAME other keep", "RENAME keep none", "RENAMENX keep none", "RENAMENX other keep", "COPY other keep REPLACE",
		"COPY other keep DB 0 REPLACE", "COPY other keep REPLACE DB 0")
	return lines
}

// deleteRules are for what the sweep sends, with one action.
func deleteRules(action string) func(*proxy.Options) {
	return func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{{Name: "r", Action: action, Commands: []string{"del", "unlink", "getdel", "rename",
			"copy", "restore"}}}
		if action == "deny" {
			o.Rules[0].Commands = []string{"del", "unlink", "getdel"}
		}
	}
}

// However a delete is put, in the words of any server, a rule for DEL that denies leaves the key there, and
// one with the trash gives back what is gone; and what is answered is what the server says, or a refusal.
func TestNoVariantOfADeleteGoesRound(t *testing.T) {
	t.Parallel()
	for _, bin := range proxytest.Matrix(t) {
		for _, action := range []string{"deny", "trash"} {
			t.Run(bin.String()+"/"+action, func(t *testing.T) {
				t.Parallel()
				srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
				direct := dial(t, proxytest.Spec{Kind: bin.Kind}.Start(t).Addr)
				addr, p := serveServer(t, srv.Addr, deleteRules(action))
				c, admin := dial(t, addr), dial(t, srv.Addr)
				before := 0 // entries in the trash
				for _, line := range deleting() {
					line = strings.TrimRight(line, " ")
					for _, d := range []*conn{direct, admin} {
						d.doAll("FLUSHDB", "MSET keep v other w")
					}
					want, got := direct.do(line), c.do(line)
					gone := admin.do("EXISTS keep") == ":0\r\n"
					switch {
					case action == "deny" && gone && !strings.HasPrefix(line, "RENAME"):
						t.Errorf("%s: the key is gone", line)
					case got != want && !(action == "deny" && strings.HasPrefix(got, "-DENIED ")):
						t.Errorf("%s: got %q, want %q", line, got, want)
					case action == "trash" && gone && !strings.HasPrefix(line, "RENAME"):
						mustComeBack(t, p, admin, line, before)
					}
					// SET, GETEX, MSETEX and the EXPIREs that leave keep add no entry: the next one that takes it would show that.
					if action == "trash" && (gone || !strings.Contains(line, "SET") && !strings.Contains(line, "EX")) {
						_, before = newest(t, p)
					}
				}
			})
		}
	}
}

// mustComeBack undoes the newest entry of the trash, which must bring keep back.
func mustComeBack(t *testing.T, p *proxy.Served, admin *conn, line string, before int) {
	t.Helper()
	id, now := newest(t, p)
	if now != before+1 {
		t.Errorf("%s: %d entries in the trash, %d before", line, now, before)
		return
	}
	if _, err := p.Undo(t.Context(), id, ""); err != nil {
		t.Errorf("%s: UNDO: %v", line, err)
	}
	if got := admin.do("GET keep"); got != "$1\r\nv\r\n" {
		t.Errorf("%s: UNDO gives back %q", line, got)
	}
}

// newest is the newest entry of the trash, and how many there are.
func newest(t *testing.T, p *proxy.Served) (id uint64, total int) {
	t.Helper()
	trash, err := p.Trash(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range trash.Entries {
		id = max(id, e.ID)
	}
	return id, trash.Total
}
