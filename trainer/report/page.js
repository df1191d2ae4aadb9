// Drawings of people move when they are asked to: the still one stays below, for paper and for browsers without script.

const MOST = 4; // players at a time: a browser has about sixteen contexts of WebGL

const moving = [];

for (const data of document.querySelectorAll("script.scenes")) offer(data.closest("figure"), data);

function offer(figure, data) {
  const button = element("button", { class: "play", type: "button", "aria-pressed": "false" }, "▶ Play");
  figure.querySelector("h3").after(button);
  button.addEventListener("click", () => (figure.player ? rest(figure) : move(figure, data)));
}

function move(figure, data) {
  const scenes = JSON.parse(data.textContent);
  const host = element("div", { class: scenes[0].tracks.length > 1 ? "moving several" : "moving" });
  const still = figure.querySelector(".drawing");
  still.before(host);
  figure.player = new Player(host, scenes, { view: "front", controls: "few", fps: 15 });
  still.classList.add("still");
  told(figure, "■ Show the still drawing", true);
  moving.push(figure);
  if (moving.length > MOST) rest(moving[0]);
}

function rest(figure) {
  figure.player.remove();
  figure.player = null;
  figure.querySelector(".moving").remove();
  figure.querySelector(".drawing").classList.remove("still");
  told(figure, "▶ Play", false);
  moving.splice(moving.indexOf(figure), 1);
}

function told(figure, text, pressed) {
  const button = figure.querySelector("button.play");
  button.textContent = text;
  button.setAttribute("aria-pressed", String(pressed));
}
