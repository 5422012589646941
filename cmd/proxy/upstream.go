package main

import (
	"log/slog"

	"holdfast/configs"
	"holdfast/proxy/upstream"
)

// upstreamOptions is what a configuration says about the server.
func upstreamOptions(c *configs.Config, log *slog.Logger) upstream.Options {
	u := c.Upstream
	keepAlive := u.TCPKeepalive
	if keepAlive == 0 {
		keepAlive = -1 // in the options, zero is the default
	}
	return upstream.Options{
		Address:        u.Address,
		Username:       u.Username,
		Password:       string(u.Password),
		ConnectTimeout: u.ConnectTimeout,
		KeepAlive:      keepAlive,
		MaxBackoff:     u.MaxBackoff,
		Logger:         log,
	}
}
