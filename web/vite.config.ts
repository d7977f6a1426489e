import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` serves the pages with hot reload in front of a running `make run`.
const server = process.env["LIVESERVER_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    chunkSizeWarningLimit: 1000,
    rolldownOptions: { input: { main: "index.html", docs: "docs.html" } },
  },
  server: {
    proxy: { "/api": server, "/socket.io": { target: server, ws: true } },
  },
});
