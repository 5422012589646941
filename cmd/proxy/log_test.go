package main

import (
	"bytes"
	"strings"
	"testing"

	"holdfast/configs"
)

// Loggers that were made before a reload follow it, with their attributes and groups.
func TestLogFollowsReload(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var f logFormat
	f.set(configs.Log{Level: "info", Format: "text"})
	log := f.logger(&out).With("a", 1).WithGroup("g").With("b", 2)
	for _, step := range []struct {
		set  configs.Log
		want string
	}{
		{configs.Log{Level: "info", Format: "text"}, "level=INFO msg=m a=1 g.b=2 g.c=3\n"},
		{configs.Log{Level: "info", Format: "json"}, `"msg":"m","a":1,"g":{"b":2,"c":3}}` + "\n"},
		{configs.Log{Level: "warn", Format: "json"}, ""},
		{configs.Log{Level: "debug", Format: "text"}, "level=INFO msg=m a=1 g.b=2 g.c=3\n"},
	} {
		out.Reset()
		f.set(step.set)
		log.Info("m", "c", 3)
		if got := out.String(); !strings.HasSuffix(got, step.want) || got != "" && step.want == "" {
			t.Errorf("%+v: got %q, want %q", step.set, got, step.want)
		}
	}
}
