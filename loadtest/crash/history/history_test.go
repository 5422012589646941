package history

import (
	"testing"
	"time"
)

// at is the interval of a span, in whole seconds.
func at(call, ret int, o Outcome) Span {
	s := Span{Call: time.Duration(call) * time.Second, Return: time.Duration(ret) * time.Second,
		Outcome: o}
	if ret == 0 {
		s.Return = Never
	}
	return s
}

func add(o Outcome, tag string, keys ...string) Write {
	w := Write{Span: at(1, 2, o), Name: "add"}
	for _, key := range keys {
		w.Effects = append(w.Effects, Effect{Elem{Family(key), tag}, key})
	}
	return w
}

// move is a later write on the element of family l with tag a.
func move(o Outcome, to string) Write {
	return Write{Span: at(3, 4, o), Name: "move", Effects: []Effect{{Elem{"l", "a"}, to}}}
}

func count(o Outcome, n int64) Write {
	return Write{Span: at(1, 2, o), Name: "incr", Counter: "pay:n:0", Count: n}
}

func TestLedger(t *testing.T) {
	const k, k2, other = "pay:l:0", "pay:l:1", "pay:h:0"
	type keys map[string][]string // tags by key
	tests := []struct {
		name   string
		writes []Write
		state  keys
		n      int64
		want   string // the fault, if any
	}{
		{"acknowledged and there", []Write{add(Acked, "a", k)}, keys{k: {"a"}}, 0, ""},
		{"acknowledged and lost", []Write{add(Acked, "a", k)}, nil, 0, Lost},
		{"acknowledged and elsewhere", []Write{add(Acked, "a", k)}, keys{k2: {"a"}}, 0, Phantom},
		{"twice in one key", []Write{add(Acked, "a", k)}, keys{k: {"a", "a"}}, 0, Twice},
		{"twice in two keys", []Write{add(Unknown, "a", k)}, keys{k: {"a"}, k2: {"a"}}, 0, Twice},
		{"unknown and there", []Write{add(Unknown, "a", k)}, keys{k: {"a"}}, 0, ""},
		{"unknown and not there", []Write{add(Unknown, "a", k)}, nil, 0, ""},
		{"refused and not there", []Write{add(Refused, "a", k)}, nil, 0, ""},
		{"refused and there", []Write{add(Refused, "a", k)}, keys{k: {"a"}}, 0, Phantom},
		{"never written", nil, keys{k: {"a"}}, 0, Phantom},
		{"moved", []Write{add(Acked, "a", k), move(Acked, k2)}, keys{k2: {"a"}}, 0, ""},
		{"moved and still there", []Write{add(Acked, "a", k), move(Acked, k2)}, keys{k: {"a"}}, 0,
			Undone},
		{"perhaps moved", []Write{add(Acked, "a", k), move(Unknown, k2)}, keys{k: {"a"}}, 0, ""},
		{"perhaps moved, gone", []Write{add(Acked, "a", k), move(Unknown, k2)}, nil, 0, Lost},
		{"not moved", []Write{add(Acked, "a", k), move(Refused, k2)}, keys{k2: {"a"}}, 0, Undone},
		{"removed", []Write{add(Acked, "a", k), move(Acked, "")}, nil, 0, ""},
		{"removed and there", []Write{add(Acked, "a", k), move(Acked, "")}, keys{k: {"a"}}, 0,
			Undone},
		{"perhaps removed", []Write{add(Acked, "a", k), move(Unknown, "")}, nil, 0, ""},
		{"whole transaction", []Write{add(Unknown, "a", k, other)}, keys{k: {"a"}, other: {"a"}},
			0, ""},
		{"no transaction", []Write{add(Unknown, "a", k, other)}, nil, 0, ""},
		{"half a transaction", []Write{add(Unknown, "a", k, other)}, keys{k: {"a"}}, 0, Torn},
		{"counted", []Write{count(Acked, 1), count(Unknown, 0), count(Acked, 3)}, nil, 3, ""},
		{"counted too little", []Write{count(Acked, 1), count(Acked, 2)}, nil, 1, Lost},
		{"below what was answered", []Write{count(Acked, 1), count(Acked, 9)}, nil, 2, Lost},
		{"counted too much", []Write{count(Acked, 1), count(Refused, 0)}, nil, 2, Miscounted},
		{"one number twice", []Write{count(Acked, 2), count(Acked, 2)}, nil, 2, Lost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewState()
			for key, tags := range tt.state {
				for _, tag := range tags {
					s.Add(key, tag)
				}
			}
			s.Counters["pay:n:0"] = tt.n
			expect(t, CheckLedger(tt.writes, s), tt.want)
		})
	}
}

func TestSomewhere(t *testing.T) {
	one, other := NewState(), NewState()
	one.Add("pay:l:0", "a")
	tests := []struct {
		name   string
		writes []Write
		want   string
	}{
		{"in the one", []Write{add(Acked, "a", "pay:l:0")}, ""},
		{"in another key", []Write{add(Acked, "a", "pay:l:1")}, Lost},
		{"nowhere", []Write{add(Acked, "b", "pay:l:0")}, Lost},
		{"nowhere, unknown", []Write{add(Unconfirmed, "b", "pay:l:0")}, ""},
		{"changed again", []Write{add(Acked, "a", "pay:l:0"), move(Acked, "")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, Somewhere(tt.writes, 0, other, one), tt.want)
		})
	}
	expect(t, Somewhere([]Write{add(Acked, "b", "pay:l:0")}, time.Second, one), "") // before
}

// expect wants problems of one sort, or none.
func expect(t *testing.T, got []Problem, want string) {
	t.Helper()
	if want == "" && len(got) > 0 || want != "" && (len(got) == 0 || got[0].What != want) {
		t.Errorf("found %v, want %q", got, want)
	}
}

func get(call, ret int, saw string) Op {
	return Op{Span: at(call, ret, Acked), Key: "r", Kind: Get, Saw: saw}
}

func set(call, ret int, o Outcome, v string) Op {
	return Op{Span: at(call, ret, o), Key: "r", Kind: Set, Write: v}
}

func cas(call, ret int, o Outcome, expect, v, saw string) Op {
	return Op{Span: at(call, ret, o), Key: "r", Kind: CAS, Expect: expect, Write: v, Saw: saw}
}

// The primary is killed at 10, and another is there at 20.
func TestRegisters(t *testing.T) {
	swap := func(call, ret int, v, saw string) Op {
		return Op{Span: at(call, ret, Acked), Key: "r", Kind: Swap, Write: v, Saw: saw}
	}
	tests := []struct {
		name         string
		ops          []Op
		life, across string
	}{
		{"nothing was written", []Op{get(1, 2, "")}, "", ""},
		{"a stale read", []Op{set(1, 2, Acked, "a"), set(3, 4, Acked, "b"), get(5, 6, "a")},
			Disordered, Disordered},
		{"a read of what was never written", []Op{get(21, 22, "x")}, "", Disordered},
		{"unknown, seen, kept", []Op{set(1, 0, Unknown, "a"), get(3, 4, "a"), get(21, 22, "a")},
			"", ""},
		{"unknown, seen, lost", []Op{set(1, 0, Unknown, "a"), get(3, 4, "a"), get(21, 22, "")},
			"", ""},
		{"unknown, lost within a life", []Op{set(1, 0, Unknown, "a"), get(3, 4, "a"),
			get(5, 6, "")}, Disordered, ""},
		{"acknowledged, lost", []Op{set(1, 2, Acked, "a"), get(21, 22, "")}, "", Disordered},
		{"acknowledged in the turmoil, lost", []Op{set(1, 12, Acked, "a"), get(21, 22, "")}, "",
			Disordered},
		{"the old one is read in the turmoil", []Op{set(1, 2, Acked, "a"), set(3, 11, Acked, "b"),
			get(12, 13, "a"), get(21, 22, "b")}, "", ""},
		{"refused, seen", []Op{set(1, 2, Refused, "a"), get(21, 22, "a")}, "", Phantom},
		{"swaps", []Op{swap(1, 2, "a", ""), swap(3, 4, "b", "a"), get(5, 6, "b")}, "", ""},
		{"a swap was lost", []Op{swap(1, 2, "a", ""), swap(3, 4, "b", ""), get(5, 6, "b")},
			Disordered, Disordered},
		{"cas", []Op{set(1, 2, Acked, "a"), cas(3, 4, Acked, "a", "b", "a"),
			cas(5, 6, Acked, "a", "c", "b"), get(7, 8, "b")}, "", ""},
		{"cas that was not done", []Op{set(1, 2, Acked, "a"), cas(3, 4, Acked, "a", "b", "a"),
			get(7, 8, "a")}, Disordered, Disordered},
		{"unknown cas", []Op{set(1, 2, Acked, "a"), cas(3, 0, Unknown, "a", "b", ""),
			get(7, 8, "b")}, "", ""},
		{"unknown cas of what never was", []Op{set(1, 2, Acked, "a"),
			cas(3, 0, Unknown, "z", "b", ""), get(7, 8, "b"), get(21, 22, "b")}, Disordered,
			Disordered},
		{"a chain of unknown cas", []Op{set(1, 0, Unknown, "a"), cas(3, 0, Unknown, "a", "b", ""),
			cas(5, 0, Unknown, "b", "c", ""), get(21, 22, "c")}, "", ""},
		{"an unseen write makes a cas fail", []Op{set(1, 2, Acked, "a"), set(3, 0, Unknown, "b"),
			cas(5, 6, Acked, "a", "c", "b"), get(7, 8, "b")}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, Life(tt.ops, 10*time.Second), tt.life)
			expect(t, Across(tt.ops, []Turmoil{{10 * time.Second, 20 * time.Second}}), tt.across)
		})
	}
}

// The life begins between 10 and 13, and ends between 20 and 23.
func TestWithin(t *testing.T) {
	tests := []struct {
		name string
		in   Span
		want Outcome
		out  bool
	}{
		{"before", at(1, 2, Acked), 0, true},
		{"before, unknown", at(1, 2, Unknown), Unknown, false},
		{"into the beginning", at(1, 15, Acked), Unknown, false},
		{"in the beginning", at(11, 12, Acked), Unknown, false},
		{"within", at(14, 19, Acked), Acked, false},
		{"within, refused", at(14, 19, Refused), Refused, false},
		{"into the end", at(14, 21, Acked), Unknown, false},
		{"in the end", at(21, 22, Acked), Unknown, false},
		{"after", at(24, 25, Acked), 0, true},
	}
	begin := Turmoil{10 * time.Second, 13 * time.Second}
	end := Turmoil{20 * time.Second, 23 * time.Second}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := &Log{Writes: []Write{{Span: tt.in}}, Ops: []Op{{Span: tt.in}}}
			part := log.Within(begin, end)
			if tt.out {
				if len(part.Writes)+len(part.Ops) > 0 {
					t.Errorf("got %v", part)
				}
				return
			}
			if len(part.Writes) != 1 || len(part.Ops) != 1 ||
				part.Writes[0].Outcome != tt.want || part.Ops[0].Outcome != tt.want {
				t.Errorf("got %v, want %v", part, tt.want)
			}
		})
	}
}
