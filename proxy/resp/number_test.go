package resp

import (
	"math"
	"strconv"
	"testing"
)

func TestParseInt(t *testing.T) {
	for _, v := range []int64{0, 1, 9, 10, 1048576, math.MaxInt64 - 1, math.MaxInt64,
		-1, -10, math.MinInt64 + 1, math.MinInt64} {
		text := strconv.FormatInt(v, 10)
		if got, ok := parseInt([]byte(text)); !ok || got != v {
			t.Errorf("%s: got %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-", "+1", "-0", "00", "01", "-01", " 1", "1 ", "1a", "a", "--1",
		"9223372036854775808", "-9223372036854775809", "18446744073709551616",
		"99999999999999999999", "000000000000000000000001", "1\x00"} {
		if got, ok := parseInt([]byte(text)); ok {
			t.Errorf("%q: got %d, want a refusal", text, got)
		}
	}
}

func TestShortNumberAgreesWithParseInt(t *testing.T) {
	for _, text := range []string{"", "0", "7", "00", "07", "10", "99", "100", "999", "1234567",
		"12345678", "-1", "1x", "x1", "9a", ":0", "1:"} {
		want, ok := parseInt([]byte(text))
		if want < 0 || len(text) > 7 {
			ok = false
		}
		v, end := shortNumber([]byte("$"+text+"\r\n"), 1)
		if (end > 0) != ok || ok && (int64(v) != want || end != len(text)+3) {
			t.Errorf("%q: got %d, %d, want %d, %v", text, v, end, want, ok)
		}
		for i := range len(text) + 2 {
			if v, end := shortNumber([]byte("$" + text + "\r\n")[:1+i], 1); end != 0 {
				t.Errorf("%q cut at %d: got %d, %d", text, i, v, end)
			}
		}
	}
}

func TestDigits(t *testing.T) {
	for _, v := range []int{0, 9, 10, 99, 100, 536870912, math.MaxInt} {
		if got, want := digits(v), len(strconv.Itoa(v)); got != want {
			t.Errorf("%d: got %d, want %d", v, got, want)
		}
	}
}
