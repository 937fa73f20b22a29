for (const figure of document.querySelectorAll(".movie")) {
  const movie = JSON.parse(figure.dataset.movie);
  const [slider, button, output, select] =
    ["input", "button", "output", "select"].map(name => figure.querySelector(name));
  const panels = [...figure.querySelectorAll(".panel")];
  const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const palette = bytesOf(movie.palette);
  const {nx, ny, width, height, rows, columns, first, periodic} = movie, missing = 127;

  // Inverse of compact() in experiments/report/movie.cpp.
  const decode = ({shift, code}) => {
    const bytes = bytesOf(code), steps = new Uint8Array(nx * ny * movie.times.length);
    let at = 0;
    const bit = () => bytes[at >> 3] >> 7 - (at++ & 7) & 1;
    for (let k = 0; k < steps.length; ++k) {
      const i = k % nx, below = Math.floor(k / nx) % ny > 0;
      const a = i > 0 ? steps[k - 1] : 0, b = below ? steps[k - nx] : 0, c = i > 0 && below ? steps[k - nx - 1] : 0;
      let d = 0;
      while (bit()) ++d;
      for (let n = 0; n < shift; ++n) d = d << 1 | bit();
      const guess = i === 0 ? b : !below ? a
        : c >= Math.max(a, b) ? Math.min(a, b) : c <= Math.min(a, b) ? Math.max(a, b) : a + b - c;
      steps[k] = guess + (d & 1 ? -(d + 1 >> 1) : d >> 1);
    }
    return steps;
  };

  const clamp = (i, n) => Math.min(Math.max(i, 0), n - 1);
  const column = i => periodic ? (i % nx + nx) % nx : clamp(i, nx);
  const draw = (canvas, steps, frame, sensors) => {
    const pen = canvas.getContext("2d"), image = pen.createImageData(width, height);
    const pixels = image.data, start = frame * nx * ny;
    for (let j = 0, out = 0; j < height; ++j) {
      const y = Math.min(Math.max(rows[j][0], 0), ny - 1), y0 = Math.floor(y), fy = y - y0;
      const lower = start + y0 * nx, upper = start + Math.min(y0 + 1, ny - 1) * nx;
      for (let i = 0; i < width; ++i, out += 4) {
        const fromMiddle = (2 * (i + 0.5) / width - 1) / rows[j][1];
        if (Math.abs(fromMiddle) > 1) continue;
        const x = first + columns * (1 + fromMiddle) / 2, left = Math.floor(x), fx = x - left;
        const x0 = column(left), x1 = column(left + 1);
        const p = steps[lower + x0], q = steps[lower + x1], r = steps[upper + x0], s = steps[upper + x1];
        let step = Math.round((1 - fy) * ((1 - fx) * p + fx * q) + fy * ((1 - fx) * r + fx * s));
        if (p === missing || q === missing || r === missing || s === missing)
          step = fy < 0.5 ? fx < 0.5 ? p : q : fx < 0.5 ? r : s;
        if (step === missing) continue;
        for (let part = 0; part < 3; ++part) pixels[out + part] = palette[3 * step + part];
        pixels[out + 3] = 255;
      }
    }
    pen.putImageData(image, 0, 0);
    movie.lines.forEach((line, n) => {
      pen.beginPath();
      for (const [x, y] of line) pen.lineTo(x * width, y * height);
      pen.lineWidth = n === 0 ? 2 : 1;
      pen.strokeStyle = n === 0 ? "#555" : "#0005";
      pen.stroke();
    });
    pen.lineWidth = 1.2;
    pen.strokeStyle = "#222";
    for (const [x, y] of sensors) {
      pen.beginPath();
      pen.arc(x * width, y * height, 3, 0, 7);
      pen.stroke();
    }
  };

  let shown, channel;
  const show = () => {
    output.textContent = movie.times[slider.value];
    slider.setAttribute("aria-valuetext", output.textContent);
    panels.forEach((panel, n) =>
      draw(panel.querySelector("canvas"), shown[n], +slider.value, n === 1 ? [] : channel.sensors));
  };
  const choose = () => {
    channel = movie.channels[select ? select.value : 0];
    shown = channel.panels.map(decode);
    panels.forEach((panel, n) =>
      panel.querySelectorAll(".scale span").forEach((span, k) => span.textContent = channel.panels[n].scale[k]));
    show();
  };
  let timer;
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    button.textContent = "Play";
  };
  button.onclick = () => {
    if (timer !== undefined) return stop();
    button.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = (+slider.value + 1) % movie.times.length;
      show();
    }, 300);
  };
  slider.oninput = () => {
    stop();
    show();
  };
  if (select) select.onchange = choose;
  for (const panel of panels) Object.assign(panel.querySelector("canvas"), {width, height});
  figure.hidden = false;
  choose();
}
