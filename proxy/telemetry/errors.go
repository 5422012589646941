package telemetry

import "errors"

var (
	// ErrSample: Options.Sample is not between 0 and 1.
	ErrSample = errors.New("telemetry: the sampled share must be between 0 and 1")

	// ErrEndpoint: Options.OTLP is not an http or https URL.
	ErrEndpoint = errors.New("telemetry: the OTLP endpoint must be an http or https URL")

	// ErrListen: the address of the HTTP server cannot be bound.
	ErrListen = errors.New("telemetry: cannot listen")
)
