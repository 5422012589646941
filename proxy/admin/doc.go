// Package admin is the operator's console: RESP on a listener of its own, so that redis-cli is
// its client (redis-cli -p 6390). tidwall/redcon serves it, behind our own framing.
package admin
