//go:build ovenbird

package main

const where = "on a device"
