// Package quantity words numbers of things for people.
package quantity

import "fmt"

// Of is a number of things: "1 key", "2 keys".
func Of[N ~int | ~int64](n N, what string) string {
	return fmt.Sprintf("%d %s", n, Either(n, what, what+"s"))
}

// Either is one for a single thing, and many for none and for several.
func Either[N ~int | ~int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Grouped is a whole number with a comma before each three digits: "1,234,567".
func Grouped(n any) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
