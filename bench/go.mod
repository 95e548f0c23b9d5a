module github.com/perihelion-proxy/perihelion/bench

go 1.26.0

require github.com/perihelion-proxy/perihelion v0.0.0

replace github.com/perihelion-proxy/perihelion => ../
