package main

import (
	"strings"
	"testing"

	"holdfast/proxy/proxytest/local"
)

func TestLiesAboutQuestions(t *testing.T) {
	set := string(local.AppendCommand(nil, "SET", "k", "WAIT 1 2"))
	tests := []struct{ name, in, want string }{
		{"others pass", set, set},
		{"an inline command passes", "PING\r\n", "PING\r\n"},
		{"WAIT", set + string(local.AppendCommand(nil, "wait", "2", "100")),
			set + string(local.AppendCommand(nil, "EVAL_RO", "return 2", "0"))},
		{"WAITAOF", string(local.AppendCommand(nil, "WAITAOF", "1", "3", "100")) + set,
			string(local.AppendCommand(nil, "EVAL_RO", "return {1,3}", "0")) + set},
	}
	for _, tt := range tests {
		for _, piece := range []int{1, 7, len(tt.in)} {
			var w rewriter
			var got strings.Builder
			for in := tt.in; in != ""; in = in[min(piece, len(in)):] {
				got.Write(w.rewrite(&lie{wait: true}, []byte(in[:min(piece, len(in))]), true))
			}
			if got.String() != tt.want {
				t.Errorf("%s, in pieces of %d: %q, want %q", tt.name, piece, got.String(), tt.want)
			}
		}
	}
	var w rewriter
	if got := string(w.rewrite(&lie{aof: true}, local.AppendCommand(nil, "WAIT", "1", "1"), true)); got !=
		string(local.AppendCommand(nil, "WAIT", "1", "1")) {
		t.Errorf("a lie about something else: %q", got)
	}
}

func TestLiesAboutAnswers(t *testing.T) {
	var w rewriter
	l := &lie{aof: true, offset: true}
	steps := []struct{ in, want string }{
		{"*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n", "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n"},
		{"\r\naof_enabled:0\r\n", "\r\naof_enabled:1\r\n"},
		{"\r\nmaster_repl_offset:980\r\n", "\r\nmaster_repl_offset:980\r\n"},
		{"\r\nmaster_repl_offset:991\r\nx", "\r\nmaster_repl_offset:980\r\nx"},
		{"\r\nmaster_repl_offset:12345\r\n", "\r\nmaster_repl_offset:00980\r\n"},
		{"\r\nmaster_repl_offset:7\r\n", "\r\nmaster_repl_offset:7\r\n"},
	}
	for _, step := range steps {
		if got := string(w.rewrite(l, []byte(step.in), false)); got != step.want {
			t.Errorf("%q became %q, want %q", step.in, got, step.want)
		}
	}
}
