package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"holdfast/configs"
)

// A logFormat is the log's current format. All loggers made from one follow it: a reload reaches
// loggers that libraries and workers already hold.
type logFormat struct {
	level slog.LevelVar
	json  atomic.Bool
}

// set puts a configuration in force.
func (f *logFormat) set(c configs.Log) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err == nil { // it was validated
		f.level.Set(level)
	}
	f.json.Store(c.Format == "json")
}

// logger writes to w, line by line.
func (f *logFormat) logger(w io.Writer) *slog.Logger {
	w = &lineWriter{w: w}
	o := &slog.HandlerOptions{Level: &f.level}
	return slog.New(&formatHandler{f, slog.NewTextHandler(w, o), slog.NewJSONHandler(w, o)})
}

// A formatHandler is a slog.Handler in two formats; its logFormat selects the one that writes. Each
// logger made from it keeps its attributes in both.
type formatHandler struct {
	format     *logFormat
	text, json slog.Handler
}

func (h *formatHandler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= h.format.level.Level()
}

func (h *formatHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.format.json.Load() {
		return h.json.Handle(ctx, r)
	}
	return h.text.Handle(ctx, r)
}

func (h *formatHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &formatHandler{h.format, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

func (h *formatHandler) WithGroup(name string) slog.Handler {
	return &formatHandler{h.format, h.text.WithGroup(name), h.json.WithGroup(name)}
}

// lineWriter keeps the lines of the two formats apart: each handler has a mutex of its own.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
