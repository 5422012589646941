package telemetry

import (
	"reflect"
	"testing"
)

// fill sets every number in v, however deep, to n.
func fill(v reflect.Value, n uint64) {
	switch v.Kind() {
	case reflect.Uint64:
		v.SetUint(n)
	case reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		if v.CanSet() {
			fill(v.Elem(), n)
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	}
}

func filled(l *Labels, n uint64) *Counters {
	c := NewCounters(l)
	c.Demand("journal")
	c.Fence("journal")
	fill(reflect.ValueOf(c).Elem(), n)
	return c
}

var testLabels = &Labels{
	Commands: []string{"", "get", "set"}, Rules: []string{"default", "keys"},
	Routes: []string{"pay", "ledger"},
}

// A field that Add forgets would be missing from the figures of all loops but the first.
func TestAddCoversEveryField(t *testing.T) {
	sum := filled(testLabels, 1)
	sum.Add(filled(testLabels, 2))
	want := filled(testLabels, 3)
	want.Fences[0].Oldest = 2 // the older of the two
	if !reflect.DeepEqual(sum, want) {
		t.Errorf("1 + 2:\n got %+v\nwant %+v", sum, want)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	c := filled(testLabels, 1)
	clone := c.Clone()
	fill(reflect.ValueOf(c).Elem(), 7)
	if want := filled(testLabels, 1); !reflect.DeepEqual(clone, want) {
		t.Errorf("the clone changed with its original: %+v", clone)
	}
}

func TestLabelsOfAReload(t *testing.T) {
	next := &Labels{Commands: []string{"", "json.get", "set", "get"}, Rules: []string{"keys"}}
	c := NewCounters(testLabels)
	c.Commands[1].Outcomes[OutcomeOK] = 5     // get
	c.Commands[2].Outcomes[OutcomeDenied] = 6 // set
	c.Commands[2].Observed = 1
	c.Rules[0].Denied = 7 // default
	c.Rules[1].Denied = 8 // keys
	c.Reads = 9

	check := func(t *testing.T, got *Counters, times uint64) {
		t.Helper()
		want := NewCounters(next)
		want.Commands[3].Outcomes[OutcomeOK] = 5 * times
		want.Commands[2].Outcomes[OutcomeDenied] = 6 * times
		want.Commands[2].Observed = times
		want.Rules[0].Denied = 8 * times
		want.Reads = 9 * times
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	old := c.Clone()
	c.Relabel(next)
	check(t, c, 1)
	c.Relabel(next)
	check(t, c, 1)
	c.Add(old) // another loop, not yet relabelled
	check(t, c, 2)
}

func TestSnapshotSum(t *testing.T) {
	s := &Snapshot{Loops: []*Counters{filled(testLabels, 1), filled(testLabels, 2)}}
	want := filled(testLabels, 3)
	want.Fences[0].Oldest = 2
	if got := s.Sum(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if want := filled(testLabels, 1); !reflect.DeepEqual(s.Loops[0], want) {
		t.Error("Sum changed a loop's counters")
	}
	if got := (&Snapshot{}).Sum(); len(got.Commands) != 0 {
		t.Errorf("no loops: got %+v", got)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	unique := func(s string) {
		if s == "" || seen[s] {
			t.Errorf("name %q is empty or used twice", s)
		}
		seen[s] = true
	}
	for i := range NumClasses {
		unique("class " + Class(i).String())
	}
	for i := range NumOutcomes {
		unique("outcome " + Outcome(i).String())
	}
	for i := range NumCloseReasons {
		unique("reason " + CloseReason(i).String())
	}
	for i := range NumLinkKinds {
		unique("kind " + LinkKind(i).String())
	}
	for i := range NumHoldOutcomes {
		unique("hold " + HoldOutcome(i).String())
	}
	for i := range NumFenceOutcomes {
		unique("fence " + FenceOutcome(i).String())
	}
	if got := Class(200).String(); got != "other" {
		t.Errorf("out of range: got %q, want other", got)
	}
}
