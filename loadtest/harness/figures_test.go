package harness

import (
	"math"
	"testing"
)

func TestLimit(t *testing.T) {
	for _, tt := range []struct {
		limit  Limit
		figure float64
		want   bool
	}{
		{Limit{1, false}, 1, true}, {Limit{1, false}, 0.99, false}, {Limit{1, false}, 2, true},
		{Limit{2, true}, 2, true}, {Limit{2, true}, 2.01, false}, {Limit{2, true}, 1, true},
	} {
		if got := tt.limit.Holds(tt.figure); got != tt.want {
			t.Errorf("%+v, %v: %v", tt.limit, tt.figure, got)
		}
	}
}

func TestMedian(t *testing.T) {
	list := []float64{3, 1, 2}
	if got := Median(list); got != 2 || list[0] != 3 {
		t.Errorf("of three: %v; the list is now %v", got, list)
	}
	if a, b := Median(nil), Median([]float64{4, 1, 2, 3}); a != 0 || b != 2.5 {
		t.Errorf("of none and of four: %v, %v", a, b)
	}
}

func TestRatio(t *testing.T) {
	for r, want := range map[float64]string{0: "", math.Inf(1): "", math.NaN(): "", 1.005: "1.00", 0.254: "0.25"} {
		if got := Ratio(r); got != want {
			t.Errorf("%v: %q, want %q", r, got, want)
		}
	}
}
