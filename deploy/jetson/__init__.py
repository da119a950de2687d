"""From NVIDIA's board support package to a flashed Jetson, by NVIDIA's own tools."""
