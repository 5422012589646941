package harness

import (
	"fmt"
	"slices"
)

// A Limit bounds a figure from one side.
type Limit struct {
	Value  float64
	AtMost bool // else: at least
}

// Holds reports whether a figure keeps the limit.
func (l Limit) Holds(figure float64) bool {
	if l.AtMost {
		return figure <= l.Value
	}
	return figure >= l.Value
}

// Median is the median of a list, 0 of an empty one.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// Ratio is a ratio for a table, and empty where a figure is missing.
func Ratio(r float64) string {
	if !(r > 0 && r < 1e9) {
		return ""
	}
	return fmt.Sprintf("%.2f", r)
}
