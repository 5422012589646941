package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "1000": 1000, "512b": 512, "1kb": 1024, "1KiB": 1024, "64MiB": 64 << 20,
		"64mb": 64 << 20, "4GiB": 4 << 30, "1tb": 1 << 40, "2 KiB": 2048, "007": 7,
		"9223372036854775807": 1<<63 - 1, "8388607TiB": 8388607 << 40,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"": errNotSize, "kb": errNotSize, "-1": errNotSize, "+1": errNotSize, "1.5GiB": errNotSize,
		"1e3": errNotSize, "0x10": errNotSize, "1 k b": errNotSize, "1kib ": errNotSize,
		"1kbit": errNotSize, "١kb": errNotSize, " 1": errNotSize,
		"1k": errBareUnit, "1M": errBareUnit, "2g": errBareUnit, "1t": errBareUnit,
		"9223372036854775808": errTooLarge, "8388608TiB": errTooLarge,
	} {
		if got, err := ParseBytes(text); !errors.Is(err, want) {
			t.Errorf("%q: got %d, %v; want the error %v", text, got, err, want)
		}
	}
}

func TestBytesPrintsWhatItReads(t *testing.T) {
	for size, want := range map[Bytes]string{
		0: "0", 1: "1", 1000: "1000", KiB: "1KiB", 1536: "1536", 64 * MiB: "64MiB",
		GiB: "1GiB", 5 * TiB: "5TiB",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %q, want %q", int64(size), got, want)
		}
		if back, err := ParseBytes(want); err != nil || back != size {
			t.Errorf("%q: got %d, %v back", want, back, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute,
		"7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "1.5h": 90 * time.Minute,
		"106751d": 106751 * day,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "5", "s", "d", "-1s", "+1s", "-1d", "1d-1h", "1d+1h", "1.5d", "1h1d", "1dd", "1d1d",
		"106752d", "106751d24h", "99999999999999999999d", "1 d", "3000000h",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseMode(t *testing.T) {
	for text, want := range map[string]FileMode{
		"770": 0o770, "0770": 0o770, "0o770": 0o770, "0": 0, "777": 0o777,
	} {
		if got, err := parseMode(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "789", "1777", "-1", "rwx", "0x1ff", "0o"} {
		if got, err := parseMode(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]Share{
		"0": 0, "1": 1, "0.001": 0.001, ".5": 0.5, "1e-8": 1e-8, "1.0": 1,
	} {
		if got, err := parseShare(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-0.1", "1.1", "NaN", "Inf", "1%", "half"} {
		if got, err := parseShare(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "hunter2"
	c := Default()
	c.Upstream.Password, c.Admin.Password = text, text
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "c", c, "p", c.Upstream.Password)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for way, printed := range map[string]string{
		"String": c.String(), "slog": logged.String(), "json": string(encoded),
		"v": fmt.Sprintf("%v", c.Upstream), "+v": fmt.Sprintf("%+v", c.Upstream),
		"#v": fmt.Sprintf("%#v", c.Upstream), "q": fmt.Sprintf("%q", c.Upstream.Password),
		"x": fmt.Sprintf("%x", c.Upstream.Password), "s": fmt.Sprintf("%s", c.Upstream.Password),
	} {
		if strings.Contains(printed, text) || strings.Contains(printed, "68756e74657232") {
			t.Errorf("%s prints the secret: %s", way, printed)
		}
		if !strings.Contains(printed, redacted) {
			t.Errorf("%s does not say that there is a secret: %s", way, printed)
		}
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("no secret prints as %q", got)
	}
}

// An error about a secret must not quote it.
func TestErrorsQuoteNoSecret(t *testing.T) {
	for _, text := range []string{
		"upstream: {password: 8675309}", "upstream: {password: [8675309]}",
		"upstream: {password: !x 8675309}", "upstream:\n  password: a8675309: b\n",
		"upstream: {password: &8675309 x}", "upstream: {password: '8675309}",
	} {
		if _, err := Parse("f", []byte(text)); err == nil ||
			strings.Contains(err.Error(), "8675309") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestClosest(t *testing.T) {
	words := []string{"listeners", "workers", "upstream", "log", "drain"}
	for word, want := range map[string]string{
		"listener": "listeners", "upstreams": "upstream", "lgo": "", "lo": "log", "": "",
		"trains": "drain", "xyzzy": "", "wrokers": "workers",
	} {
		if got := closest(word, words); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
