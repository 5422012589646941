package configs

import "embed"

// Samples holds the sample files, for programs that are installed without this folder.
//
//go:embed agents.yaml holdfast.yaml journal.yaml minimal.yaml payments.yaml sentinel.yaml strict.yaml tls.yaml
var Samples embed.FS
