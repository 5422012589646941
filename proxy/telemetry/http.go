package telemetry

import (
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes at once: each asks every event loop for a copy.
const maxScrapes = 4

const indexText = `holdfast
/         the operator's page, for clients that ask for HTML
/metrics  figures in the Prometheus text format
/healthz  200 while the process is alive
/readyz   200 when traffic should be sent here, else 503 with the reasons, one a line; behind
          "degraded:" what keeps no traffic away
`

func newHandler(g prometheus.Gatherer, ready Readiness, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reasons := ready.NotReady(); len(reasons) > 0 {
			writeText(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n")+"\n")
			return
		}
		text := "ready\n"
		for _, line := range ready.Degraded() {
			text += "degraded: " + line + "\n"
		}
		writeText(w, http.StatusOK, text)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, indexText)
	})
	return mux
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A client that left is not our error.
	_, _ = io.WriteString(w, text)
}
