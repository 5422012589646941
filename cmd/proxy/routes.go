package main

import (
	"holdfast/configs"
	"holdfast/policy"
)

// routeSpecs converts the routes of a configuration for policy.
func routeSpecs(c *configs.Config) []policy.RouteSpec {
	specs := make([]policy.RouteSpec, len(c.Routes))
	for i, r := range c.Routes {
		specs[i] = policy.RouteSpec{
			Name: r.Name, Keys: r.Keys, Users: r.Users, Listeners: r.Listeners,
			Databases: r.Databases, Scripts: r.Scripts,
			Demand: policy.Demand{
				Journal: r.Ack.Journal, Replicas: r.Ack.Replicas,
				AOFLocal: r.Ack.AOF.Local, AOFReplicas: r.Ack.AOF.Replicas,
			},
			Timeout:         r.Timeout,
			CloseOnTimeout:  r.OnTimeout == configs.TimeoutClose,
			PassUnavailable: r.WhenUnavailable == configs.UnavailablePass,
		}
	}
	return specs
}
