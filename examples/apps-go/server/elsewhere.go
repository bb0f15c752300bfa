//go:build !ovenbird

package main

const where = "on your own machine"
